// Package plan runs changes that can be believed. A Plan is plain data: the steps that --dry-run prints are the ones that are
// run, written to the journal before the first change, shown as progress and given in JSON. What a step does lies in the
// Handler of its verb, which can tell whether the step's effect is there already, bring it about, and so prove that it worked.
//
// Three rules make a plan safe to stop anywhere and to run again:
//
//   - Handler.Done is read-only, and once a step is done it stays true whatever later steps do ("the old master accepts no
//     write", not "the old master is stopped").
//   - Handler.Do may be called again after an interruption at any point of it.
//   - The guard is asked before every step whether the world is still the one that the plan was made for.
//
// There is no rollback. A run that stops says what was done, what was not, and that running again goes on.
//
// The package knows nothing of PostgreSQL, of hosts or of a terminal.
package plan
