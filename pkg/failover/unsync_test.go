package failover_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/nodes"
)

func TestUnsync(t *testing.T) {
	away := func(s *cluster.Snapshot) {
		s.Servers[1].Unreachable, s.Servers[1].SQL, s.Servers[1].Data = &cluster.Failure{Message: "no answer"}, nil, nil
	}
	both := []string{"unfenced-master", "no-sync-standby"}
	tests := []struct {
		name    string
		names   string
		host    string
		change  func(*cluster.Snapshot)
		accept  []string
		after   string // the names of the step
		refused string // a part of the evidence
	}{
		{name: "one of two", names: `FIRST 2 ("db2_k3f9","db3")`, host: "db2", after: `FIRST 1 ("db3")`},
		{name: "any of two", names: `ANY 1 (db2, db3)`, host: "db2", after: `ANY 1 ("db3")`},
		{name: "the only one", names: "db2", host: "db2", refused: "without db2 a commit on db1 waits for nobody"},
		{name: "the only one, accepted", names: "db2", host: "db2", accept: both, after: ""},
		{name: "not a member: nothing is to do", names: "FIRST 1 (db3)", host: "db2", after: `FIRST 1 ("db3")`},
		{name: "out of reach: it may be a master", names: "db2", host: "db2", change: away, accept: both[1:], refused: "db2 is out of reach and may be a master too"},
		{name: "out of reach: every risk at once", names: "db2", host: "db2", change: away, refused: "may be a master too: no answer; without db2 a commit"},
		{name: "out of reach, accepted", names: "db2", host: "db2", change: away, accept: both},
		{name: "the master", names: "db2", host: "db1", refused: "db1 is the master"},
		{name: "nobody", names: "db2", host: "db9", refused: "no server db9"},
		{name: "everybody", names: "ANY 1 (*)", host: "db2", refused: "it names everybody"},
		{name: "two that may be it", names: "FIRST 2 (db2, db2_prod)", host: "db2", refused: "more than one of these may be db2"},
		{name: "a 9.x site", names: "db2", host: "db2", change: func(s *cluster.Snapshot) { s.Kind = nodes.KindPG9 }, refused: "9.x"},
		{name: "watchers act", names: "db2", host: "db2", change: func(s *cluster.Snapshot) {
			s.HA, s.Servers[1].Watcher.Service.State = nodes.HAEnabled, cluster.ServiceActive
		}, accept: both, refused: "the watcher of db2 runs"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			snap := site()
			snap.Servers[0].SQL.SyncNames = tt.names
			if tt.change != nil {
				tt.change(&snap)
			}
			p, err := failover.Unsync(snap, cluster.Diagnose(snap), tt.host, tt.accept)
			var refusal *cluster.Refusal
			switch {
			case tt.refused != "":
				if !errors.As(err, &refusal) || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("got %v, expected a refusal: %s", err, tt.refused)
				}
			case err != nil:
				t.Error(err)
			case len(p.Steps) != 1 || p.Steps[0].Host != "db1" || p.Steps[0].Args["names"] != tt.after:
				t.Errorf("got %+v", p.Steps)
			}
		})
	}
}
