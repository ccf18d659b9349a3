package cluster_test

import (
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// seats is what BetterSeat is asked about.
type seats struct {
	state  cluster.State
	sight  cluster.Sight
	policy cluster.Policy
	own    cluster.Seat
	others []cluster.Seat
}

func (x *seats) facts() *cluster.Facts { return x.sight.Heard[0].Facts }

// seatsOf are the seats of a region at rest with db1 as the master, db2, db3, arb1 and arb2, as one of them sees it.
func seatsOf(own string) *seats {
	all := []cluster.Seat{{Host: "db1"}, {Host: "db2"}, {Host: "db3"}, {Host: "arb1", Arbiter: true}, {Host: "arb2", Arbiter: true}}
	x := &seats{
		state:  cluster.State{Phase: cluster.Serving, Opened: true, Epoch: 3, Master: "db1", Configs: []cluster.SyncConfig{{}}},
		sight:  cluster.Sight{Now: time.Minute},
		policy: cluster.Policy{Lease: 2 * time.Second, Fresh: 4 * time.Second},
	}
	for _, seat := range all {
		seat.Steady = 10 * time.Second
		if seat.Host == own {
			x.own = seat
		} else {
			x.others = append(x.others, seat)
		}
		x.sight.Heard = append(x.sight.Heard, cluster.Heard{Report: &cluster.Report{Host: seat.Host, Epoch: 3}, At: time.Minute - time.Second})
	}
	x.sight.Heard[0].Facts = &cluster.Facts{Running: true, Clients: true, Lease: time.Second, Canary: cluster.Canary{Age: time.Second}}
	return x
}

// without takes the seats of hosts away.
func (x *seats) without(hosts ...string) {
	for _, host := range hosts {
		for i := range x.others {
			if x.others[i].Host == host {
				x.others = append(x.others[:i], x.others[i+1:]...)
				break
			}
		}
	}
}

func TestBetterSeat(t *testing.T) {
	arbiters := []string{"arb1", "arb2"}
	for _, tt := range []struct {
		name, own string
		change    func(*seats)
		want      string
	}{
		{"from the master's host to an arbiter", "db1", nil, "arb1"},
		{"from a standby's host to an arbiter", "db3", nil, "arb1"},
		{"an arbiter keeps it, also from another one", "arb2", nil, ""},
		{"no arbiter has a vote: to a standby's host", "db1", func(x *seats) { x.without(arbiters...) }, "db2"},
		{"standbys are alike", "db3", func(x *seats) { x.without(arbiters...) }, ""},
		{"never to the master's host", "db2", func(x *seats) { x.without("arb1", "arb2", "db3") }, ""},
		{"after a change of the master its host is the last", "db2", func(x *seats) {
			x.state.Master = "db2"
			x.sight.Heard[1].Facts, x.sight.Heard[0].Facts = x.facts(), nil
			x.without(arbiters...)
		}, "db1"},
		{"the first arbiter came a moment ago", "db1", func(x *seats) { x.others[2].Steady = 9 * time.Second }, "arb2"},
		{"the first arbiter is silent", "db1", func(x *seats) { x.sight.Heard[3].At -= 5 * time.Second }, "arb2"},
		{"what it says was long under way", "db1", func(x *seats) { x.sight.Heard[3].Delay = 5 * time.Second }, "arb2"},
		{"the lead, or what was decided, is new", "db1", func(x *seats) { x.own.Steady = 9 * time.Second }, ""},
		{"an election", "db1", func(x *seats) { x.state.Phase = cluster.Electing }, ""},
		{"the gate is closed", "db1", func(x *seats) { x.state.Opened = false }, ""},
		{"the sync set changes", "db1", func(x *seats) { x.state.Configs = make([]cluster.SyncConfig, 2) }, ""},
		{"a pool is to be moved", "db1", func(x *seats) { x.state.Pools = []string{"db1"} }, ""},
		{"a switchover", "db1", func(x *seats) { x.state.Wanted = "db2" }, ""},
		{"halted", "db1", func(x *seats) { x.state.Halted = "why" }, ""},
		{"the master is silent", "db2", func(x *seats) { x.sight.Heard[0].At -= 4 * time.Second }, ""},
		{"the master does not answer", "db2", func(x *seats) { x.facts().Silent = time.Second }, ""},
		{"the master is down", "db2", func(x *seats) { x.facts().Running = false }, ""},
		{"the master has no lease", "db2", func(x *seats) { x.facts().Lease = cluster.Never }, ""},
		{"its canary is late: the lease is all it has", "db2", func(x *seats) { x.facts().Canary.Age = 3 * time.Second }, ""},
		{"the master knows another epoch", "db2", func(x *seats) { x.sight.Heard[0].Epoch = 2 }, ""},
	} {
		x := seatsOf(tt.own)
		if tt.change != nil {
			tt.change(x)
		}
		to, why := cluster.BetterSeat(&x.state, &x.sight, &x.policy, x.own, x.others)
		if to != tt.want || (why == "") != (to == "") {
			t.Errorf("%s: got %q (%s), expected %q", tt.name, to, why, tt.want)
		}
	}
}

// TestBetterSeatComesToRest: whoever leads, and whoever is master, the lead moves at the most once.
func TestBetterSeatComesToRest(t *testing.T) {
	hosts := []string{"db1", "db2", "db3", "arb1", "arb2"}
	for gone := range 1 << len(hosts) {
		for i, own := range hosts {
			if gone&(1<<i) != 0 {
				continue
			}
			ask := func(own string) string {
				x := seatsOf(own)
				for j, host := range hosts {
					if gone&(1<<j) != 0 {
						x.without(host)
					}
				}
				to, _ := cluster.BetterSeat(&x.state, &x.sight, &x.policy, x.own, x.others)
				return to
			}
			if to := ask(own); to != "" && ask(to) != "" {
				t.Errorf("without %b: from %s to %s, and on to %s", gone, own, to, ask(to))
			}
		}
	}
}
