package postgres

import (
	"errors"
	"strings"
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
	if _, err := probeOf(t, "9.2.24", standby, master); err == nil || err.Error() != "it runs PostgreSQL 9.2.24, pgctl asks 9.3 and later" {
		t.Errorf("9.2: %v", err)
	}
	if _, err := probeOf(t, "devel", standby, master); err == nil || !strings.Contains(err.Error(), `cannot read its version "devel"`) {
		t.Errorf("no version: %v", err)
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

// TestProbe93: what 9.3 is asked has its names and none that came later, and its answers, as it gives them, are understood.
func TestProbe93(t *testing.T) {
	asked := ""
	answer := func(rows ...string) postgrestest.Backend {
		return postgrestest.Backend{Version: "9.3.25", Rows: rows, Asked: func(sql string) { asked = sql }}
	}
	h := host(t, answer(
		`{"in_recovery":false,"received":null,"replayed":null,"paused":false,"replay_age":null,"standbys":[{"application_name":"walreceiver","client_addr":"172.31.30.3","state":"streaming","sync_state":"async","flush_lsn":"0/A0569F8","replay_lsn":"0/A0569F8"}],"sync_names":""}`,
		`{"in_recovery":false,"position":"0/A0569F8","segment":"00000002000000000000000A"}`,
	), postgrestest.Backend{})
	in, err := On(h, Settings{}).Probe(t.Context())
	if err != nil || in.InRecovery || in.Version != "9.3.25" || in.Timeline != 2 || in.Position.String() != "0/A0569F8" ||
		len(in.Standbys) != 1 || in.Standbys[0].State != "streaming" || in.Standbys[0].SyncState != "async" || in.Standbys[0].Flush.String() != "0/A0569F8" {
		t.Errorf("master: %+v, %v", in, err)
	}
	for _, later := range []string{"wal_lsn", "_lsn()", "pg_walfile", "pg_stat_wal_receiver", "pg_control_", "pg_replication_slots", "wait_event", "pg_wal_"} {
		if strings.Contains(asked, later) {
			t.Errorf("9.3 is asked for %s", later)
		}
	}
	if !strings.Contains(asked, "pg_current_xlog_location()") {
		t.Errorf("9.3 is asked %s", asked)
	}
	h = host(t, answer(
		`{"in_recovery":true,"received":"0/A0569F8","replayed":"0/A0569F0","paused":false,"replay_age":1.5,"standbys":null,"sync_names":""}`,
		`{"in_recovery":true,"position":null,"segment":null}`,
	), postgrestest.Backend{})
	in, err = On(h, Settings{}).Probe(t.Context())
	if err != nil || !in.InRecovery || in.Received.String() != "0/A0569F8" || in.Position.String() != "0/A0569F0" || in.Receiver != nil {
		t.Errorf("slave: %+v, %v", in, err)
	}
}

// TestReceiverByProcess: 9.3 has no view of its WAL receiver; its process list and recovery.conf tell.
func TestReceiverByProcess(t *testing.T) {
	for text, want := range map[string]string{
		"upstream 172.31.30.2\nprocess wal receiver process   streaming 0/A0569F8\n":                               "streaming 172.31.30.2",
		"upstream ks0\nprocess wal receiver streaming 0/A0569F8\n":                                                 "streaming ks0",
		"process wal receiver process\n":                                                                           "starting ",
		"process wal writer process\nprocess wal sender process postgres 172.31.30.3(49298) streaming 0/A0569F8\n": "none",
	} {
		f, err := ParseFacts("data_dir /d\n" + text)
		if err != nil {
			t.Fatal(err)
		}
		got := "none"
		if r := f.Receiver(); r != nil {
			got = r.Status + " " + r.SenderHost
		}
		if got != want {
			t.Errorf("%q gave %q, expected %q", text, got, want)
		}
	}
}
