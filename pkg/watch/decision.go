package watch

import (
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// tellDecision logs and announces the judgements and what is waited for when they change: the names, not the evidence, which changes each second.
func (w *watcher) tellDecision(s *cluster.State) {
	var names, told []string
	for _, j := range w.decision.Judgements {
		name := strings.TrimSuffix(string(j.Code)+" "+j.Host, " ")
		if j.Code != cluster.JudgedOK {
			names = append(names, name)
		}
		if j.Code != cluster.JudgedOK && j.Code != cluster.JudgedElection { // of that there are events of its own
			told = append(told, name)
		}
	}
	if s.Opened {
		for _, pool := range s.Pools {
			told = append(told, "pool-behind "+pool)
		}
	}
	w.tell("judgement", strings.Join(names, ", "))
	w.announceJudged(strings.Join(told, ", "), s)
	w.tell("waits", strings.Join(w.decision.Waits, "; "))
}
