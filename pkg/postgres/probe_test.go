package postgres

import (
	"errors"
	"testing"

	"github.com/pgctl/pgctl/pkg/postgres/postgrestest"
)

func probeOf(t *testing.T, version string, rows ...string) (string, error) {
	h := host(t, postgrestest.Backend{Version: version, Rows: rows}, postgrestest.Backend{})
	in, err := On(h, Settings{}).Probe(t.Context())
	if err != nil {
		return "", err
	}
	return in.Version, nil
}

func TestProbeErrors(t *testing.T) {
	const standby, master = `{"in_recovery":true}`, `{"in_recovery":false,"position":"0/3000148","segment":"000000010000000000000003"}`
	if _, err := probeOf(t, "15.18", standby, master); !errors.Is(err, ErrRoleChanged) {
		t.Errorf("promoted in between: %v", err)
	}
	if _, err := probeOf(t, "9.3.25", standby, master); err == nil || err.Error() != "it runs PostgreSQL 9.3.25, pgctl asks 10 and later" {
		t.Errorf("9.3: %v", err)
	}
	if _, err := probeOf(t, "15.18", standby); err == nil {
		t.Error("one row in place of two was accepted")
	}
	if _, err := probeOf(t, "15.18", `{"in_recovery":false}`, `{"in_recovery":false}`); err == nil {
		t.Error("a master without a position was accepted")
	}
	if v, err := probeOf(t, "15.18 (Debian 15.18-0+deb12u1)", `{"in_recovery":false}`, master); err != nil || v != "15.18" {
		t.Errorf("version %q, %v", v, err)
	}
}

func TestKeyword(t *testing.T) {
	const conninfo = `user=replicator passfile='/var/lib/my pass' channel_binding=prefer host=db1 port=5432 application_name='it''s' x='a\'b'`
	for name, want := range map[string]string{"user": "replicator", "passfile": "/var/lib/my pass", "host": "db1", "port": "5432", "x": "a'b", "dbname": ""} {
		if got := keyword(conninfo, name); got != want {
			t.Errorf("%s is %q, expected %q", name, got, want)
		}
	}
}
