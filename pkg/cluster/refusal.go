package cluster

import "strings"

// Refusal is a safety no: nothing was changed. It names every risk in play at once.
type Refusal struct {
	Risks []Risk
}

// Risk is one reason for a refusal.
type Risk struct {
	Name     string // what --accept=NAME accepts; "" when nothing does
	Evidence string // one sentence
	Hint     string
}

// Error is the risks' evidence.
func (r *Refusal) Error() string {
	var all []string
	for _, risk := range r.Risks {
		all = append(all, risk.Evidence)
	}
	return strings.Join(all, "; ")
}
