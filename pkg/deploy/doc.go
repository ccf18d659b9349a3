// Package deploy puts pgctl and its watcher on the nodes, and takes them away: the binary, pgctl.yaml, certificates of the
// site's own authority, supervisor's program pg_watcher, and the role that it asks PostgreSQL as. Both are plans (package plan): a pure function from what was seen
// to the steps, and a handler for each verb.
//
// What holds:
//
//   - One host at a time, arbiters first and the master's host last; the next one only when the watcher of this one runs, from
//     the binary that was sent, and has reported since.
//   - A pg_watcher that is not pgctl's is never replaced unasked, never runs beside one of ours, and is kept byte for byte.
//   - The authority's key stays on the host where it was made. A private key travels on standard input, and is never read back
//     from a node.
//   - What PostgreSQL has is changed on a master that is certain, and nowhere else. Its pg_hba.conf is never touched. A role or a user that deploy
//     did not make is neither changed nor removed.
//   - A step's Done looks at the host and never trusts what an earlier run noted.
package deploy
