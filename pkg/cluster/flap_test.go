package cluster

import "testing"

// TestFailedOver: whether a second failover soon after asks for more evidence.
func TestFailedOver(t *testing.T) {
	for name, tt := range map[string]struct {
		history []CommandKind
		want    bool
	}{
		"nothing is known":             {nil, false},
		"formed":                       {[]CommandKind{Form, Serve, Open, Change, Settle}, false},
		"a failover":                   {[]CommandKind{Form, Serve, Open, OpenVote, Elect, Serve, Open, PoolMoved}, true},
		"a failover of two attempts":   {[]CommandKind{Serve, Open, OpenVote, Elect, VoteAgain, Elect, Serve}, true},
		"a switchover":                 {[]CommandKind{Form, Serve, HandOver, OpenVote, Elect, Serve, Open}, false},
		"a switchover, a change in it": {[]CommandKind{Serve, HandOver, Change, OpenVote, Elect, Serve}, false},
		"a switchover, then another":   {[]CommandKind{Serve, HandOver, OpenVote, Elect, Serve, OpenVote, Elect, Serve}, true},
		"a wish that came to nothing":  {[]CommandKind{Serve, HandOver, KeepMaster, OpenVote, Elect, Serve}, true},
		"adopted after a failover":     {[]CommandKind{Serve, OpenVote, Elect, Serve, Halt, Adopt, Serve}, false},
	} {
		var s State
		for _, c := range tt.history {
			s.History = append(s.History, Record{Command: c})
		}
		if got := s.failedOver(); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
