// Package cluster is the shared model of a region: what was seen of it (Snapshot), who is what in it (Standing)
// and what is wrong with it (Diagnose).
//
// It is pure: no I/O, no clock, no goroutine. The same snapshot always gives the same diagnosis, in the same order,
// so every judgement pgctl makes can be replayed in a unit test.
//
// It also decides what the watchers do: State is what they agree on and Apply its every change, Decide is what the executor proposes,
// Reconcile what each does about its own server. docs/safety.md says what they keep and why.
//
// Two rules hold throughout. A role is proven by asking the server, never taken from a file. What could not be seen is
// a value in the snapshot (a nil pointer with the reason beside it), never a zero that looks like an answer.
package cluster
