// Package cluster is the shared model of a region: what was seen of it (Snapshot), who is what in it (Standing)
// and what is wrong with it (Diagnose).
//
// It is pure: no I/O, no clock, no goroutine. The same snapshot always gives the same diagnosis, in the same order,
// so every judgement pgctl makes can be replayed in a unit test.
//
// Two rules hold throughout. A role is proven by asking the server, never taken from a file. What could not be seen is
// a value in the snapshot (a nil pointer with the reason beside it), never a zero that looks like an answer.
package cluster
