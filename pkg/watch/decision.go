package watch

import (
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// tellDecision logs and announces the judgements and what is waited for when they change: the names, not the evidence, which changes each second.
func (w *watcher) tellDecision(s *cluster.State) {
	var names []string
	for _, j := range w.decision.Judgements {
		if j.Code != cluster.JudgedOK {
			names = append(names, strings.TrimSuffix(string(j.Code)+" "+j.Host, " "))
		}
	}
	judgement := strings.Join(names, ", ")
	w.tell("judgement", judgement)
	w.announceJudged(judgement, s)
	w.tell("waits", strings.Join(w.decision.Waits, "; "))
}
