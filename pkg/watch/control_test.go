package watch

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/consensus"
)

// listening is a watcher whose socket is open and whose events are done, and nothing else.
func listening(t *testing.T) *watcher {
	t.Helper()
	dir := t.TempDir()
	w := newWatcher(Options{
		Host: "db1", ControlPath: filepath.Join(dir, "run", "watch.sock"), MemoryPath: filepath.Join(dir, "memory"), Version: "1.2",
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	w.config.take([]byte(good), "a")
	if err := w.listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case f := <-w.events:
				f()
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		if err := w.close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// alone is one that is the whole quorum, and leads it.
func alone(t *testing.T) *watcher {
	t.Helper()
	dir := t.TempDir()
	w := listening(t)
	hosts := []consensus.Host{{Name: "db1", Address: "127.0.0.1:1", Zone: "zone1a", Role: consensus.Server}}
	port, err := consensus.Listen(consensus.PortOptions{Host: "db1", Listen: "127.0.0.1:0", Files: certificate(t, dir, "db1"), Log: w.Log, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	port.SetHosts(hosts)
	q := &quorum{path: filepath.Join(dir, "state.json"), wake: func() {}}
	q.state.Store(&known{})
	q.node, err = consensus.Open(consensus.Options{Host: "db1", Dir: dir, Port: port, Hosts: hosts, Machine: &machine{changed: q.learn}, SpareAfter: time.Minute, Log: w.Log, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	go q.lead()
	if err := w.inLoop(t.Context(), func() { w.name, w.port, w.quorum = "db1", port, q }); err != nil {
		t.Fatal(err)
	}
	return w
}

// certificate writes what deploy would have put on a host.
func certificate(t *testing.T, dir, host string) consensus.Files {
	t.Helper()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	must := func(der []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	uri, err := url.Parse("pgctl://" + host + "/server")
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, DNSNames: []string{host}, URIs: []*url.URL{uri},
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der := must(x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key))
	return consensus.Files{CA: write("ca", "CERTIFICATE", der), Certificate: write("crt", "CERTIFICATE", der), Key: write("key", "PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key)))}
}

// wishes asks through the socket, as an operator does.
func wishes(t *testing.T, w *watcher, q Wish) Answer {
	t.Helper()
	question, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	text, err := Ask(t.Context(), w.ControlPath, AskWish, strings.NewReader(string(question)))
	var a Answer
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestWishes(t *testing.T) {
	w := alone(t)
	pause := Wish{Kind: cluster.PauseHA, By: "anna@firstbox", For: 2 * time.Hour, Pause: &cluster.Pause{Owner: "anna@firstbox", Reason: "new switches", Until: "never"}}
	a := wishes(t, w, pause)
	if a.Complaint != nil || a.Executor != "db1" || a.Before != nil || a.Now == nil {
		t.Fatalf("%+v %+v", a, a.Complaint)
	}
	until, err := time.Parse(time.RFC3339, a.Now.Until)
	if left := time.Until(until); err != nil || left > 2*time.Hour || left < 2*time.Hour-time.Minute {
		t.Errorf("it ends at %q: %v", a.Now.Until, err)
	}
	text, err := Ask(t.Context(), w.ControlPath, AskState, nil)
	if err != nil {
		t.Fatal(err)
	}
	var told Told
	if err := json.Unmarshal(text, &told); err != nil {
		t.Fatal(err)
	}
	s := told.State
	if !told.Leads || told.Index == 0 || s.Paused == nil || *s.Paused != *a.Now || told.Quorum == nil || told.Quorum.Index != told.Index {
		t.Errorf("%s", text)
	}
	if r := s.History[0]; len(s.History) != 1 || r.Rule != "as anna@firstbox wished" || r.Evidence[0] != "the reason: new switches" {
		t.Errorf("%+v", s.History)
	} else if at, err := time.Parse(time.RFC3339, r.At); err != nil || time.Since(at) > time.Minute {
		t.Errorf("it was at %q", r.At)
	}
	resume := Wish{Kind: cluster.ResumeHA, By: "bert@firstbox"}
	if r := wishes(t, w, resume); r.Complaint != nil || r.Before == nil || *r.Before != *a.Now || r.Now != nil {
		t.Errorf("%+v", r)
	}
	if r := wishes(t, w, resume); r.Complaint != nil || r.Before != nil {
		t.Errorf("it was not paused: %+v", r)
	}
	if n := len(w.quorum.state.Load().State.History); n != 2 {
		t.Errorf("%d records: what is so already is none", n)
	}
	for name, tt := range map[string]struct {
		q   Wish
		why string
	}{
		"another kind":  {Wish{Kind: cluster.Elect}, `nobody may wish for "elect"`},
		"no owner":      {Wish{Kind: cluster.PauseHA}, "a pause has an owner"},
		"no server":     {Wish{Kind: cluster.PauseHA, Pause: &cluster.Pause{Owner: "anna", Host: "arb1"}}, "arb1 is no server of server.yaml (db1)"},
		"less than now": {Wish{Kind: cluster.PauseHA, For: -1, Pause: &cluster.Pause{Owner: "anna"}}, "is none"},
	} {
		if a := wishes(t, w, tt.q); a.Complaint == nil || a.Complaint.Kind != Refused || !strings.Contains(a.Complaint.Message, tt.why) {
			t.Errorf("%s: %+v", name, a.Complaint)
		}
	}
}

// TestSocketIsRootsAlone: the directory lets nobody else in, and a socket that an earlier watcher left does not matter.
func TestSocketIsRootsAlone(t *testing.T) {
	w := listening(t)
	for path, want := range map[string]os.FileMode{filepath.Dir(w.ControlPath): os.ModeDir | 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	again := &watcher{Options: w.Options}
	if err := again.listen(); err != nil {
		t.Fatal(err)
	}
	again.control.Close()
}

// TestNobodyGrants: each reason for which nobody could grant a wish is a sentence with a remedy.
func TestNobodyGrants(t *testing.T) {
	w := listening(t)
	once := func() *Complaint {
		a, again := w.wishOnce(t.Context(), Wish{Kind: cluster.ResumeHA})
		if again {
			t.Error("it would try again")
		}
		if a.Complaint == nil {
			return &Complaint{}
		}
		return a.Complaint
	}
	w.problem = "no certificate"
	if c := once(); c.Kind != NoExecutor || !strings.Contains(c.Message, "takes no part in a quorum: no certificate") {
		t.Errorf("%+v", c)
	}
	w.quorum = &quorum{}
	w.quorum.state.Store(&known{})
	if c := once(); c.Kind != Refused || !strings.Contains(c.Message, "only has a pool") {
		t.Errorf("%+v", c)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.quorum = nil
	if a := w.wish(ctx, Wish{Kind: cluster.ResumeHA}); a.Complaint == nil || a.Complaint.Kind != NoExecutor {
		t.Errorf("it waits for ever, or says %+v", a.Complaint)
	}
	if _, err := Ask(t.Context(), filepath.Join(t.TempDir(), "none"), AskState, nil); !errors.Is(err, ErrNoWatcher) {
		t.Errorf("no watcher: %v", err)
	}
	if _, err := Ask(t.Context(), w.ControlPath, "weather", nil); err == nil {
		t.Error("it may be asked anything")
	}
}

// TestPassOn: what the executor says comes back, and what it does not say is told apart.
func TestPassOn(t *testing.T) {
	to := func(address string) *peers {
		dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
		return &peers{client: &http.Client{Transport: &http.Transport{DialTLSContext: dial, DisableKeepAlives: true}}}
	}
	answering := func(answer http.HandlerFunc) *peers {
		server := httptest.NewServer(answer)
		t.Cleanup(server.Close)
		return to(server.Listener.Addr().String())
	}
	status := func(code int) *peers {
		return answering(func(out http.ResponseWriter, _ *http.Request) { http.Error(out, "why", code) })
	}
	granting := answering(func(out http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(out).Encode(Answer{Executor: "db2"})
	})
	if a := passOn(t.Context(), granting, "db2", Wish{}); a.Complaint != nil || a.Executor != "db2" {
		t.Errorf("%+v", a)
	}
	hangsUp := answering(func(out http.ResponseWriter, _ *http.Request) {
		conn, _, _ := out.(http.Hijacker).Hijack()
		conn.Close()
	})
	for _, tt := range []struct {
		executor *peers
		want     string
	}{
		{status(http.StatusForbidden), Refused},
		{status(http.StatusConflict), NoExecutor},
		{hangsUp, Undecided},
		{to("127.0.0.1:1"), NoExecutor},
	} {
		if a := passOn(t.Context(), tt.executor, "db2", Wish{}); a.Complaint == nil || a.Complaint.Kind != tt.want || !strings.Contains(a.Complaint.Message, "executor") {
			t.Errorf("%+v, expected %s", a.Complaint, tt.want)
		}
	}
	for err, want := range map[error]string{
		consensus.ErrNotLeader:                      NoExecutor,
		consensus.ErrBusy:                           NoExecutor,
		consensus.ErrUnknown:                        Undecided,
		fmt.Errorf("%w: it is", cluster.ErrRefused): Refused,
	} {
		if a := notGranted("db1", err); a.Complaint.Kind != want {
			t.Errorf("%v: %s", err, a.Complaint.Kind)
		}
	}
}

// TestFromPeer: a host that has only a pool may not wish.
func TestFromPeer(t *testing.T) {
	w := &watcher{}
	for role, want := range map[string]int{"server": http.StatusOK, "arbiter": http.StatusOK, "pool": http.StatusForbidden} {
		uri, _ := url.Parse("pgctl://p1/" + role)
		in := httptest.NewRequest(http.MethodPost, pathPropose, strings.NewReader("{}"))
		in.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{URIs: []*url.URL{uri}, DNSNames: []string{"p1"}}}}
		out := httptest.NewRecorder()
		w.fromPeer(func(string, []byte) (any, error) { return nil, nil }, consensus.Server, consensus.Arbiter)(out, in)
		if text, _ := io.ReadAll(out.Body); out.Code != want {
			t.Errorf("%s: %d %s", role, out.Code, text)
		}
	}
}
