package cluster_test

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// opened gives a server the first record of timeline 2, as the given promotion wrote it.
func opened(s *cluster.Server, promotion byte) {
	record := make([]byte, 40)
	binary.LittleEndian.PutUint32(record, 40)
	record[30] = promotion
	s.Data.Openings[2] = record
}

// stopped makes a server lie still, with its last checkpoint at a position.
func stopped(s *cluster.Server, t cluster.Timeline, position string) {
	down(s)
	s.Data.State, s.Data.Timeline, s.Data.Checkpoint = "shut down", t, lsn(position)
	if t > 1 {
		s.Data.State = "shut down in recovery"
	}
}

// bareCopy makes old a standby on the master's timeline 2, whose beginning neither has any more.
func bareCopy(old, master *cluster.Server) {
	stopped(old, 2, "0/5100000")
	old.Data.Histories[2] = master.Data.Histories[2]
}

func TestKin(t *testing.T) {
	row := cluster.Epoch{Epoch: 1, Master: "db2", Nonce: "n", Timeline: 2, Fork: lsn("0/5000100")}
	later := cluster.Epoch{Epoch: 2, Master: "db2", Nonce: "o", Timeline: 3, Fork: lsn("0/5000100")}
	first := cluster.Epoch{Epoch: 1, Master: "db1", Nonce: "l", Timeline: 1}
	late := cluster.Epoch{Epoch: 2, Master: "db2", Nonce: "p", Timeline: 2, Fork: lsn("0/5000100")}
	fork := func(t cluster.Timeline, at string) cluster.Fork { return cluster.Fork{Parent: t, At: lsn(at)} }
	tests := []struct {
		name               string
		change             func(old, master *cluster.Server) // old is db1 and stopped on timeline 1, master is db2 on timeline 2 since 0/5000100
		own, theirs        []cluster.Epoch
		diverged, unproven string
		fork               cluster.Fork
		ownWAL             []cluster.Fork
	}{
		{name: "a master that stopped before the fork: nothing but WAL past the fork can part them", fork: fork(1, "0/5000100"), ownWAL: []cluster.Fork{fork(1, "0/5000100")}},
		{name: "on one timeline", change: func(old, master *cluster.Server) {
			master.SQL.Timeline, old.Data.State = 1, "shut down in recovery"
		}, fork: fork(1, "0/6000000")},
		{name: "both were master on one timeline", change: func(_, master *cluster.Server) {
			master.SQL.Timeline = 1
		}, unproven: "both may have written to it", fork: fork(1, "0/6000000")},
		{name: "on one timeline, ahead", change: func(old, master *cluster.Server) {
			stopped(old, 1, "0/7000000")
			old.Data.State = "shut down in recovery"
			master.SQL.Timeline, master.SQL.AskedAgain = 1, true
		}, diverged: "ahead of db2 (0/7000000 against 0/6000000)", fork: fork(1, "0/6000000"), ownWAL: []cluster.Fork{fork(1, "0/6000000")}},
		{name: "both promoted, each to a number of its own", change: func(old, _ *cluster.Server) {
			stopped(old, 3, "0/5100000")
			old.Data.Histories[3] = cluster.History{fork(1, "0/5000050")}
		}, diverged: "it left timeline 1 at 0/5000050, db2 did not", fork: fork(1, "0/5000050"), ownWAL: []cluster.Fork{fork(3, "0/5000050")}},
		{name: "promoted later than the master was", change: func(old, _ *cluster.Server) {
			stopped(old, 3, "0/5100000")
			old.Data.Histories[3] = cluster.History{fork(1, "0/5000200")}
		}, diverged: "db2 at 0/5000100 already", fork: fork(1, "0/5000100"), ownWAL: []cluster.Fork{fork(1, "0/5000100"), fork(3, "0/5000200")}},
		{name: "both promoted at one position to one number", change: func(old, master *cluster.Server) {
			stopped(old, 2, "0/5100000")
			old.Data.Histories[2] = master.Data.Histories[2]
			opened(old, 'a')
			opened(master, 'b')
		}, diverged: "it opened timeline 2 by a promotion of its own", fork: fork(1, "0/5000100"), ownWAL: []cluster.Fork{fork(2, "0/5000100")}},
		{name: "both promoted at one position to one number, killed before the first checkpoint", change: func(old, master *cluster.Server) {
			old.Data.Histories[2] = master.Data.Histories[2]
			opened(old, 'a')
			opened(master, 'b')
		}, unproven: "that its timeline 2 is the one of db2 is not proven", fork: fork(2, "0/6000000"), ownWAL: []cluster.Fork{fork(1, "0/5000100")}},
		{name: "a standby on the master's timeline, proven by its beginning", change: func(old, master *cluster.Server) {
			stopped(old, 2, "0/5100000")
			old.Data.Histories[2] = master.Data.Histories[2]
			opened(old, 'a')
			opened(master, 'a')
		}, fork: fork(2, "0/6000000")},
		{name: "the beginning is gone", change: func(old, master *cluster.Server) {
			stopped(old, 2, "0/5100000")
			old.Data.Histories[2] = master.Data.Histories[2]
			opened(old, 'a')
		}, unproven: "the WAL of its beginning is gone", fork: fork(2, "0/6000000")},
		{name: "the beginning is gone, a row proves it", change: func(old, master *cluster.Server) {
			stopped(old, 2, "0/5100000")
			old.Data.Histories[2] = master.Data.Histories[2]
		}, own: []cluster.Epoch{row}, theirs: []cluster.Epoch{row}, fork: fork(2, "0/6000000")},
		{name: "an older timeline whose beginning is gone, and the row of a later one", change: func(old, master *cluster.Server) {
			for _, s := range []*cluster.Server{old, master} {
				s.Data.Histories[3] = cluster.History{fork(1, "0/5000050"), fork(2, "0/5000100")}
			}
			stopped(old, 3, "0/5100000")
			master.SQL.Timeline = 3
		}, own: []cluster.Epoch{later}, theirs: []cluster.Epoch{later}, fork: fork(3, "0/6000000")},
		{
			name: "the row is another one", change: func(old, master *cluster.Server) {
				stopped(old, 2, "0/5100000")
				old.Data.Histories[2] = master.Data.Histories[2]
			}, own: []cluster.Epoch{{Epoch: 1, Master: "db1", Nonce: "m", Timeline: 2, Fork: lsn("0/5000100")}}, theirs: []cluster.Epoch{row},
			diverged: "it has the row of db1 on timeline 2 (epoch 1), which the master lacks", unproven: "not proven", fork: fork(2, "0/6000000"),
		},
		{
			name: "a row that an upgrade brought along from another history", change: bareCopy, own: []cluster.Epoch{{Epoch: 9, Master: "db9", Nonce: "x", Timeline: 5, Fork: lsn("9/0")}},
			theirs: []cluster.Epoch{{Epoch: 9, Master: "db9", Nonce: "x", Timeline: 5, Fork: lsn("9/0")}}, unproven: "the WAL of its beginning is gone", fork: fork(2, "0/6000000"),
		},
		{
			name: "a row of the right number and the wrong beginning", change: bareCopy, own: []cluster.Epoch{{Epoch: 9, Master: "db9", Nonce: "x", Timeline: 2, Fork: lsn("0/4000000")}},
			theirs: []cluster.Epoch{{Epoch: 9, Master: "db9", Nonce: "x", Timeline: 2, Fork: lsn("0/4000000")}}, unproven: "the WAL of its beginning is gone", fork: fork(2, "0/6000000"),
		},
		// rows that a deployment wrote, long after their timeline began: each server is past Fork
		{name: "a late row, and a copy that has it", change: bareCopy, own: []cluster.Epoch{first, late}, theirs: []cluster.Epoch{first, late}, fork: fork(2, "0/6000000")},
		{name: "a late row, and a copy that is behind it: as unproven as without the row", change: bareCopy, own: []cluster.Epoch{first}, theirs: []cluster.Epoch{first, late}, unproven: "the WAL of its beginning is gone", fork: fork(2, "0/6000000")},
		{name: "a late row, and a copy that is behind it and has the beginning", change: func(old, master *cluster.Server) {
			bareCopy(old, master)
			opened(old, 'a')
			opened(master, 'a')
		}, own: []cluster.Epoch{first}, theirs: []cluster.Epoch{first, late}, fork: fork(2, "0/6000000")},
		{name: "a late row, and a server without any row", change: bareCopy, theirs: []cluster.Epoch{late}, unproven: "the WAL of its beginning is gone", fork: fork(2, "0/6000000")},
		{name: "a second row of one timeline does no harm to a copy that is behind it", change: bareCopy, own: []cluster.Epoch{row}, theirs: []cluster.Epoch{row, late}, fork: fork(2, "0/6000000")},
		{name: "a late row, and a server that was promoted by hand to the same number", change: func(old, master *cluster.Server) {
			bareCopy(old, master)
			old.Data.State = "shut down"
		}, own: []cluster.Epoch{first}, theirs: []cluster.Epoch{first, late}, unproven: "the WAL of its beginning is gone", fork: fork(2, "0/6000000")},
		{
			name: "promoted by hand to the same number, and signed there too", change: bareCopy,
			own: []cluster.Epoch{first, {Epoch: 2, Master: "db1", Nonce: "m", Timeline: 2, Fork: lsn("0/5000100")}}, theirs: []cluster.Epoch{first, late},
			diverged: "it has the row of db1 on timeline 2 (epoch 2), which the master lacks", unproven: "not proven", fork: fork(2, "0/6000000"),
		},
		{name: "started as a second master on the timeline of a row that it has", change: func(old, master *cluster.Server) {
			bareCopy(old, master)
			old.Data.State = "shut down"
		}, own: []cluster.Epoch{late}, theirs: []cluster.Epoch{late}, unproven: "both may have written to it", fork: fork(2, "0/6000000")},
		{name: "a late row that was lost: it was written past the position at which the master was promoted", change: bareCopy, own: []cluster.Epoch{first, late}, theirs: []cluster.Epoch{first}, diverged: "it has the row of db2 on timeline 2 (epoch 2), which the master lacks", unproven: "not proven", fork: fork(2, "0/6000000")},
		{name: "a late row that a candidate, a standby itself, has not replayed yet", change: func(old, master *cluster.Server) {
			bareCopy(old, master)
			opened(old, 'a')
			opened(master, 'a')
			master.SQL.InRecovery = true
		}, own: []cluster.Epoch{first, late}, theirs: []cluster.Epoch{first}, unproven: "lacks or has not replayed yet", fork: fork(2, "0/6000000")},
		{name: "another row than a candidate has", change: func(old, master *cluster.Server) {
			bareCopy(old, master)
			master.SQL.InRecovery = true
		}, own: []cluster.Epoch{row}, theirs: []cluster.Epoch{late}, diverged: "which the master lacks", unproven: "not proven", fork: fork(2, "0/6000000")},
		{name: "it has the history of a timeline that it has not reached", change: func(old, master *cluster.Server) {
			old.Data.Histories[2] = master.Data.Histories[2]
		}, fork: fork(2, "0/6000000"), ownWAL: []cluster.Fork{fork(1, "0/5000100")}},
		{name: "another cluster", change: func(old, _ *cluster.Server) { old.Data.SystemID = 8 }, unproven: "it is another cluster"},
		{name: "no data", change: func(old, _ *cluster.Server) { old.Data = nil }, unproven: "it has no data"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			snap := region(2)
			old, master := &snap.Servers[0], &snap.Servers[1]
			promote(master, "0/6000000")
			stopped(old, 1, "0/5000100")
			if tt.change != nil {
				tt.change(old, master)
			}
			k := old.KinTo(master, tt.own, tt.theirs)
			if !strings.Contains(k.Diverged, tt.diverged) || (tt.diverged == "") != (k.Diverged == "") || !strings.Contains(k.Unproven, tt.unproven) || (tt.unproven == "") != (k.Unproven == "") {
				t.Errorf("diverged %q, unproven %q", k.Diverged, k.Unproven)
			}
			if k.Fork != tt.fork || !slices.Equal(k.Own, tt.ownWAL) {
				t.Errorf("fork %v, own WAL %v", k.Fork, k.Own)
			}
		})
	}
}
