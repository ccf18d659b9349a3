package watch

import (
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// tellDecision logs the judgements and what is waited for when they change: the names, not the evidence, which changes each second.
func (w *watcher) tellDecision() {
	var names []string
	for _, j := range w.decision.Judgements {
		if j.Code != cluster.JudgedOK {
			names = append(names, strings.TrimSuffix(string(j.Code)+" "+j.Host, " "))
		}
	}
	w.tell("judgement", strings.Join(names, ", "))
	w.tell("waits", strings.Join(w.decision.Waits, "; "))
}
