package sim

import (
	"slices"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// names is synchronous_standby_names as a process has read it.
type names struct {
	text    string
	k       int
	any     bool
	members []string
}

// priority is SyncRepGetStandbyPriority: the place in the list, 1 for all under ANY, 0 for a stranger.
func (n *names) priority(name string) int {
	i := slices.Index(n.members, name)
	if n.any && i >= 0 {
		return 1
	}
	return i + 1
}

// parsed reads a setting; each text once.
func (w *world) parsed(text string) *names {
	for _, n := range w.texts {
		if n.text == text {
			return n
		}
	}
	p, err := cluster.ParseSyncNames(text)
	if err != nil {
		panic(err) // the decisions wrote it
	}
	n := &names{text: text, k: p.Needed, any: p.Any, members: p.Members}
	w.texts = append(w.texts, n)
	return n
}
