package pgpool_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/pgpool"
	"github.com/pgctl/pgctl/pkg/postgres/postgrestest"
	"github.com/pgctl/pgctl/pkg/remote/remotetest"
)

// old is a pool of pgpool-II 3.3 in front of PostgreSQL 9.3, as both answer.
func old(t *testing.T, asked *string) *remotetest.Fake {
	t.Helper()
	h := remotetest.NewFake(t, "ks0")
	h.DialFunc = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			_ = postgrestest.Backend{Version: "9.3.25", Table: func(sql string) ([]string, [][]string) {
				*asked += sql + "\n"
				switch {
				case strings.Contains(sql, "POOL_NODES"):
					return []string{"node_id", "hostname", "port", "status", "lb_weight", "role"}, [][]string{{"0", "ks0", "5432", "3", "0.500000", "standby"}, {"1", "ks1", "5432", "2", "0.500000", "primary"}}
				case strings.Contains(sql, "POOL_STATUS"):
					return []string{"item", "value", "description"}, [][]string{{"port", "9999", ""}, {"backend_flag0", "ALLOW_TO_FAILOVER", ""}, {"backend_status0", "3", ""}, {"backend_flag1", "ALLOW_TO_FAILOVER", ""}}
				}
				return []string{"host", "port", "id"}, [][]string{{"172.31.30.3", "5432", "0"}}
			}}.Serve(theirs)
		}()
		return ours, nil
	}
	return h
}

func TestPool93(t *testing.T) {
	conf, err := pgpool.ParseConf("pgpool.conf", []byte("port = 9999\nsr_check_user = 'postgres'\n"))
	if err != nil {
		t.Fatal(err)
	}
	asked := ""
	running, err := pgpool.Running(t.Context(), old(t, &asked), pgpool.Settings{}, conf, "")
	if err != nil || len(running) != 2 || !running[0].Down || running[1].Down || running[1].Role != "primary" || running[1].Flag != "ALLOW_TO_FAILOVER" || !running[0].FailsOver() {
		t.Errorf("got %+v, %v", running, err)
	}
	asked = ""
	target, err := pgpool.Write(t.Context(), old(t, &asked), pgpool.Settings{}, conf, "")
	if err != nil || target.Address != "172.31.30.3" || target.Port != 5432 || target.SystemID != 0 {
		t.Errorf("got %+v, %v", target, err)
	}
	if strings.Contains(asked, "pg_control_system") || !strings.Contains(asked, "txid_current()") {
		t.Errorf("9.3 has no pg_control_system, and was asked %s", asked)
	}
}
