package cluster_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
)

func TestDiagnosePG9(t *testing.T) {
	const on = "ALLOW_TO_FAILOVER"
	swap := func(s *cluster.Snapshot) { // as pgpool leaves it when db1 has gone and come back stopped
		down(&s.Servers[0])
		promote(&s.Servers[1], "0/5000200")
		for i := range s.Pools {
			s.Pools[i].Running[0].Role, s.Pools[i].Running[0].Down, s.Pools[i].Running[1].Role = "standby", true, "primary"
		}
	}
	tests := []struct {
		name   string
		change func(*cluster.Snapshot)
		master string
		want   []string
		says   string
		over   cluster.Failover
	}{
		{name: "healthy, failover off", change: func(*cluster.Snapshot) {}, master: "db1", over: cluster.FailoverOff},
		{name: "healthy, failover on", master: "db1", over: cluster.FailoverOn, change: func(s *cluster.Snapshot) {
			for i := range s.Pools {
				for n := range s.Pools[i].Backends {
					s.Pools[i].Backends[n].Flag, s.Pools[i].Running[n].Flag = on, on
				}
			}
		}},
		{name: "one pool on", master: "db1", over: cluster.FailoverMixed, want: []string{"warning failover-differs -"}, says: "db1 on, db2 off", change: func(s *cluster.Snapshot) {
			for n := range s.Pools[0].Backends {
				s.Pools[0].Backends[n].Flag, s.Pools[0].Running[n].Flag = on, on
			}
		}},
		{name: "edited, not restarted", master: "db1", over: cluster.FailoverMixed, want: []string{"warning failover-differs -"}, says: "db1 mixed, db2 off", change: func(s *cluster.Snapshot) {
			s.Pools[0].Backends[0].Flag, s.Pools[0].Backends[1].Flag = on, on
		}},
		{name: "a lost slave is a warning", master: "db1", over: cluster.FailoverOff, want: []string{"warning postgres-down db2"}, change: func(s *cluster.Snapshot) {
			down(&s.Servers[1])
			s.Servers[0].SQL.Standbys = nil
		}},
		{name: "a slave out of reach is one", master: "db1", over: cluster.FailoverOff, want: []string{"warning host-unreachable db2"}, change: func(s *cluster.Snapshot) {
			s.Servers[1].Unreachable = &cluster.Failure{Message: "no answer"}
			s.Servers[1].SQL, s.Servers[1].Data, s.Servers[0].SQL.Standbys = nil, nil, nil
		}},
		{name: "a slave that does not stream is one", master: "db1", over: cluster.FailoverOff, want: []string{"warning standby-not-streaming db2"}, change: func(s *cluster.Snapshot) {
			s.Servers[1].SQL.Receiver, s.Servers[0].SQL.Standbys = nil, nil
		}},
		{name: "a lost master is not", over: cluster.FailoverOff, want: []string{"critical no-master -", "critical postgres-down db1", "critical standby-not-streaming db2"}, change: func(s *cluster.Snapshot) {
			down(&s.Servers[0])
			s.Servers[1].SQL.Receiver = nil
		}},
		{
			name: "pgpool has failed over", change: swap, master: "db2", over: cluster.FailoverOff,
			want: []string{"critical pgpool-wrong-backend db1", "critical pgpool-wrong-backend db2", "warning postgres-down db1"},
			says: "-> pgctl pg9 post-failover",
		},
		{
			name: "the old master came back as one", over: cluster.FailoverOff, want: []string{"critical split-brain -"},
			change: func(s *cluster.Snapshot) { promote(&s.Servers[1], "0/5000200") }, says: "db2 has the newer timeline; where it is to stay: pgctl pg9 post-failover",
		},
		{
			name: "one backend alone", master: "db1", over: cluster.FailoverOff, want: []string{"critical pgpool-wrong-backend db1"}, says: "expected both servers of the site",
			change: func(s *cluster.Snapshot) { s.Pools[0].Backends = s.Pools[0].Backends[:1] },
		},
		{
			name: "the running pgpool was not restarted", master: "db1", over: cluster.FailoverOff, want: []string{"critical pgpool-wrong-backend db1"}, says: "pgpool.conf is right, but",
			change: func(s *cluster.Snapshot) { slices.Reverse(s.Pools[0].Running) },
		},
		{
			name: "it has taken the master out of use", master: "db1", over: cluster.FailoverOff, want: []string{"critical pgpool-wrong-backend db2"}, says: "does not write to the master db1: it takes it for down",
			change: func(s *cluster.Snapshot) { s.Pools[1].Running[0].Down = true },
		},
		{
			name: "it has taken the slave out of use", master: "db1", over: cluster.FailoverOff, want: []string{"warning pgpool-wrong-backend db2"}, says: "nobody would take over",
			change: func(s *cluster.Snapshot) { s.Pools[1].Running[1].Down = true },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			snap := region(2)
			pg9(&snap)
			tt.change(&snap)
			d := cluster.Diagnose(snap)
			var got []string
			text := ""
			for _, f := range d.Findings {
				host := f.Host
				if host == "" {
					host = "-"
				}
				got = append(got, fmt.Sprintf("%s %s %s", f.Severity, f.Code, host))
				text += f.Message + " -> " + f.Hint + "\n"
			}
			if !slices.Equal(got, tt.want) || d.Master != tt.master || !strings.Contains(text, tt.says) || snap.Failover() != tt.over {
				t.Errorf("master %q, failover %q, findings %q\nexpected %q, %q, %q, saying %q\n%s", d.Master, snap.Failover(), got, tt.master, tt.over, tt.want, tt.says, text)
			}
			if strings.Contains(text, "upmaster") || strings.Contains(text, "pgpool sync") {
				t.Errorf("a hint is not for a 9.x site:\n%s", text)
			}
		})
	}
}
