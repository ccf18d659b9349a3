package deploy

import (
	"strings"
	"testing"
	"time"
)

var jan = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newAuthority(t *testing.T, now time.Time) *authority {
	t.Helper()
	key, keyPEM, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	certPEM, err := selfSigned(key, now)
	if err != nil {
		t.Fatal(err)
	}
	a, err := readAuthority(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestJudge(t *testing.T) {
	a, other := newAuthority(t, jan), newAuthority(t, jan)
	own, _, err := a.issue("db1", "server", jan)
	if err != nil {
		t.Fatal(err)
	}
	strange, _, err := other.issue("db1", "server", jan)
	if err != nil {
		t.Fatal(err)
	}
	address, _, err := a.issue("198.51.100.11", "arbiter", jan)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name       string
		ca, cert   []byte
		host, role string
		now, after time.Time
		want       string // "" it is good
	}{
		{name: "good", ca: a.pem, cert: own, host: "db1", role: "server", now: jan},
		{name: "the host's clock is behind", ca: a.pem, cert: own, host: "db1", role: "server", now: jan.Add(-time.Minute)},
		{name: "a host that is named by its address", ca: a.pem, cert: address, host: "198.51.100.11", role: "arbiter", now: jan},
		{name: "91 days are left", ca: a.pem, cert: own, host: "db1", role: "server", now: jan.AddDate(2, 0, -91)},
		{name: "89 days are left", ca: a.pem, cert: own, host: "db1", role: "server", now: jan.AddDate(2, 0, -89), want: "ends on 2028-01-02"},
		{name: "it has ended", ca: a.pem, cert: own, host: "db1", role: "server", now: jan.AddDate(3, 0, 0), want: "does not hold"},
		{name: "of another host", ca: a.pem, cert: own, host: "db2", role: "server", now: jan, want: "does not hold"},
		{name: "of another part", ca: a.pem, cert: own, host: "db1", role: "arbiter", now: jan, want: "does not say pgctl://db1/arbiter"},
		{name: "of another authority", ca: a.pem, cert: strange, host: "db1", role: "server", now: jan, want: "does not hold"},
		{name: "it trusts another authority", ca: other.pem, cert: own, host: "db1", role: "server", now: jan, want: "the site's authority"},
		{name: "none", ca: a.pem, host: "db1", role: "server", now: jan, want: "no certificate in PEM"},
		{name: "issued in this rotation", ca: a.pem, cert: own, host: "db1", role: "server", now: jan, after: jan},
		{name: "issued before this rotation", ca: a.pem, cert: own, host: "db1", role: "server", now: jan, after: jan.Add(time.Second), want: "before the rotation"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := a.judge(tt.ca, tt.cert, tt.host, tt.role, tt.now, tt.after)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, expected %q", err, tt.want)
			}
		})
	}
}

func TestReadAuthorityRefusesAnotherKey(t *testing.T) {
	a := newAuthority(t, jan)
	_, keyPEM, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{string(keyPEM): "belongs to another certificate", "no key": "not in PEM"} {
		if _, err := readAuthority(a.pem, []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, expected %q", err, want)
		}
	}
}

// TestHostCertificateEndsWithItsAuthority: one that outlived it would hold for nobody.
func TestHostCertificateEndsWithItsAuthority(t *testing.T) {
	a := newAuthority(t, jan)
	text, _, err := a.issue("db1", "server", jan.AddDate(9, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := readCertificate(text)
	if err != nil || !cert.NotAfter.Equal(a.cert.NotAfter) {
		t.Errorf("it ends on %s, its authority on %s, %v", cert.NotAfter, a.cert.NotAfter, err)
	}
}
