package failover

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/remote"
)

func TestDialed(t *testing.T) {
	late := fmt.Errorf("no answer within 5s: %w", context.DeadlineExceeded)
	for _, tt := range []struct {
		name    string
		err     error
		answer  cluster.LinkAnswer
		failure string
	}{
		{"connected", nil, cluster.LinkConnected, ""},
		{"refused", &remote.DialError{Cause: errors.New("Connection refused"), Refused: true}, cluster.LinkRefused, "Connection refused"},
		{"silent", &remote.DialError{Cause: late}, cluster.LinkSilent, "no answer within 5s"},
		{"forbidden", &remote.DialError{Host: "a", Addr: "b:22", Cause: errors.New("open failed"), Forbidden: true}, cluster.LinkUntried, "a: cannot connect to b:22 from there: open failed"},
		{"the host itself is lost", &remote.Unreachable{Message: "a: lost"}, cluster.LinkUntried, "a: lost"},
	} {
		if l := dialed(cluster.Link{}, tt.err); l.Answer != tt.answer || l.Failure != tt.failure {
			t.Errorf("%s: %+v", tt.name, l)
		}
	}
}

func TestPairs(t *testing.T) {
	snap := cluster.Snapshot{
		Servers:  []cluster.Server{{Common: cluster.Common{Host: "db1"}, Data: &cluster.DataDir{Port: 5433}}, {Common: cluster.Common{Host: "db2"}, Data: &cluster.DataDir{Port: 5433}}, {Common: cluster.Common{Host: "db3", Unreachable: &cluster.Failure{}}}},
		Arbiters: []cluster.Arbiter{{Common: cluster.Common{Host: "arb1"}}},
	}
	got := ""
	for _, l := range pairs(snap, 22) {
		got += fmt.Sprintf("%s>%s:%d ", l.From, l.To, l.Port)
	}
	if want := "db1>db2:22 db1>db2:5433 db1>arb1:22 db2>db1:22 db2>db1:5433 db2>arb1:22 arb1>db1:22 arb1>db2:22 "; got != want {
		t.Errorf("%s", got)
	}
}
