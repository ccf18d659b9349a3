package cluster_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// record is a WAL record of 42 bytes, as an end-of-recovery record is, holding the given moment.
func record(moment byte) []byte {
	raw := make([]byte, 200)
	binary.LittleEndian.PutUint32(raw, 42)
	raw[30] = moment
	return raw
}

// forked is db1 and db2 after db2 was promoted at 0/5000100 and db1 stopped: db2 is master on timeline 2.
func forked() (snap cluster.Snapshot, old, master *cluster.Server) {
	snap = region(3)
	old, master = &snap.Servers[0], &snap.Servers[1]
	promote(master, "0/6000000")
	down(old)
	third := &snap.Servers[2]
	third.Data.Histories[2] = cluster.History{{Parent: 1, At: lsn("0/5000100")}}
	third.SQL.Timeline, third.SQL.Position, third.SQL.Received = 2, lsn("0/6000000"), lsn("0/6000000")
	third.SQL.Receiver.SenderHost = "db2"
	master.SQL.Standbys = []cluster.Walsender{{ApplicationName: "db3", ClientAddress: "198.51.100.13", State: "streaming", SyncState: "sync"}}
	return snap, old, master
}

func TestDivergence(t *testing.T) {
	tests := []struct {
		name   string
		change func(snap *cluster.Snapshot, old, master *cluster.Server)
		want   string // "" not diverged
	}{
		{name: "stopped cleanly before the promotion", change: func(_ *cluster.Snapshot, old, _ *cluster.Server) {
			old.Data.State, old.Data.Checkpoint = "shut down", lsn("0/5000088")
		}},
		{name: "stopped exactly at the fork", change: func(_ *cluster.Snapshot, old, _ *cluster.Server) { old.Data.Checkpoint = lsn("0/5000100") }},
		{name: "down, wrote on after the fork", change: func(_ *cluster.Snapshot, old, _ *cluster.Server) {
			old.Data.Checkpoint = lsn("0/5000200")
		}, want: "has 256 B of WAL on timeline 1 after 0/5000100"},
		{name: "standby that lags on the old timeline is behind, not diverged", change: func(_ *cluster.Snapshot, old, _ *cluster.Server) {
			old.SQL = &cluster.Instance{InRecovery: true, Timeline: 1, Position: lsn("0/4000000")}
		}},
		{name: "standby past the fork on the old timeline", change: func(_ *cluster.Snapshot, old, _ *cluster.Server) {
			old.SQL = &cluster.Instance{InRecovery: true, Timeline: 1, Position: lsn("0/5000300")}
		}, want: "has 512 B of WAL on timeline 1"},
		{name: "standby received a record's beginning past the fork, applied up to it", change: func(_ *cluster.Snapshot, old, _ *cluster.Server) {
			old.SQL = &cluster.Instance{InRecovery: true, Timeline: 1, Position: lsn("0/5000100"), Received: lsn("0/5000300")}
		}},
		{name: "on a timeline that the master never was on", change: func(snap *cluster.Snapshot, old, master *cluster.Server) {
			snap.Servers[2].SQL.Timeline, snap.Servers[2].Data.Histories = 1, nil
			snap.Servers[2].SQL.Position, snap.Servers[2].SQL.Received = 0, 0
			master.Data.Histories[3] = cluster.History{{Parent: 1, At: lsn("0/5000100")}}
			master.SQL.Timeline = 3
			old.Data.Timeline, old.Data.Histories[2] = 2, cluster.History{{Parent: 1, At: lsn("0/5000100")}}
		}, want: "on timeline 2, which is not in the history of the master's timeline 3"},
		{name: "on a newer timeline that did not come from the master's", change: func(_ *cluster.Snapshot, old, _ *cluster.Server) {
			old.Data.Timeline, old.Data.Histories[3] = 3, cluster.History{{Parent: 1, At: lsn("0/5000100")}}
		}, want: "on timeline 3, which is not in the history"},
		{name: "a standby further than the master was a moment ago", change: func(_ *cluster.Snapshot, old, _ *cluster.Server) {
			old.SQL = &cluster.Instance{InRecovery: true, Timeline: 2, Position: lsn("0/6000010")}
			old.Data.Histories[2] = cluster.History{{Parent: 1, At: lsn("0/5000100")}}
		}},
		{name: "a standby further than the master is, asked again", change: func(_ *cluster.Snapshot, old, master *cluster.Server) {
			old.SQL = &cluster.Instance{InRecovery: true, Timeline: 2, Position: lsn("0/6000010")}
			old.Data.Histories[2] = cluster.History{{Parent: 1, At: lsn("0/5000100")}}
			master.SQL.AskedAgain = true
		}, want: "ahead of the master's by 16 B"},
		{name: "the same timeline number, another fork", change: func(_ *cluster.Snapshot, old, _ *cluster.Server) {
			old.Data.Timeline, old.Data.Histories[2] = 2, cluster.History{{Parent: 1, At: lsn("0/5000080")}}
		}, want: "timeline 2 came about in another way"},
		{name: "ahead on the same timeline, receiving nothing", change: func(_ *cluster.Snapshot, old, _ *cluster.Server) {
			old.Data.Timeline, old.Data.Checkpoint = 2, lsn("0/6000010")
			old.Data.Histories[2] = cluster.History{{Parent: 1, At: lsn("0/5000100")}}
		}, want: "ahead of the master's by 16 B (0/6000010 against 0/6000000)"},
		{name: "a streaming standby asked later than a busy master is not ahead", change: func(snap *cluster.Snapshot, _, _ *cluster.Server) {
			snap.Servers[2].SQL.Position, snap.Servers[2].SQL.Received = lsn("0/6000800"), lsn("0/6000800")
		}},
		{name: "streaming and ahead by the master's own word", change: func(_ *cluster.Snapshot, _, master *cluster.Server) {
			master.SQL.Standbys[0].Replay = lsn("0/6000020")
		}, want: "ahead of the master's by 32 B"},
		{name: "the same timeline opened twice at the same position", change: func(_ *cluster.Snapshot, old, master *cluster.Server) {
			old.Data.Timeline, old.Data.Checkpoint = 2, lsn("0/5000200")
			old.Data.Histories[2] = cluster.History{{Parent: 1, At: lsn("0/5000100")}}
			old.Data.Openings[2], master.Data.Openings[2] = record(1), record(2)
		}, want: "opened timeline 2 by a promotion of its own"},
		{name: "the same opening", change: func(_ *cluster.Snapshot, old, master *cluster.Server) {
			old.Data.Timeline, old.Data.Checkpoint = 2, lsn("0/5000200")
			old.Data.Histories[2] = cluster.History{{Parent: 1, At: lsn("0/5000100")}}
			old.Data.Openings[2], master.Data.Openings[2] = record(1), append(record(1)[:42], 9, 9, 9)
		}},
		{name: "bytes at the opening that the server has not reached are no record", change: func(snap *cluster.Snapshot, old, master *cluster.Server) {
			third := &snap.Servers[2]
			third.SQL.Position, third.SQL.Received = lsn("0/5000110"), lsn("0/5000110")
			third.Data.Openings[2], master.Data.Openings[2] = record(1), record(2)
			_ = old
		}},
		{name: "another cluster altogether is not called diverged", change: func(_ *cluster.Snapshot, old, _ *cluster.Server) {
			old.Data.SystemID, old.Data.Timeline = 8, 9
		}},
		{name: "nothing known", change: func(_ *cluster.Snapshot, old, _ *cluster.Server) { old.Data = nil }},
		{name: "the master's history is not known: nothing is claimed", change: func(_ *cluster.Snapshot, old, master *cluster.Server) {
			master.Data, old.Data.Checkpoint = nil, lsn("0/5000200")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			snap, old, master := forked()
			tt.change(&snap, old, master)
			view := snap.View()
			if view.Master != "db2" {
				t.Fatalf("master is %q, expected db2", view.Master)
			}
			host := map[bool]int{true: 2}[strings.HasPrefix(tt.name, "streaming and ahead")]
			for i, st := range view.Standings {
				switch got := st.Diverged; {
				case i == host && tt.want != "" && !strings.Contains(got, tt.want):
					t.Errorf("%s: diverged: %q, expected %q", snap.Servers[i].Host, got, tt.want)
				case (i != host || tt.want == "") && got != "":
					t.Errorf("%s: diverged: %q, expected nothing", snap.Servers[i].Host, got)
				}
			}
		})
	}
}
