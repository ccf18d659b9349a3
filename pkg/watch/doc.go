// Package watch is the daemon that runs on every node: it gives cluster.Decide and cluster.Reconcile what they go by, and does what they say.
//
// A round (part.go) comes once a second, and at once when something happens: the own PostgreSQL is looked at (postgres.Own), the look becomes facts with ages
// (server.go), the facts go to every other watcher in a report (dispatch.go), Reconcile says what this host does about its own server and pool (act.go does
// it), and on the executor Decide says what is proposed to the quorum (quorum.go). All that is not said to be guarded otherwise belongs to one goroutine, the loop
// (watch.go); what may hang runs beside it and posts its result.
//
// What holds:
//
//   - Nothing that hangs takes the watcher along: PostgreSQL, its disk, a pool, another host, a program that is notified. Its age is reported.
//   - The state that is gone by is never older than one before, across restarts: it is on the disk before it is used (quorum.learn).
//   - Ages outlive the watcher, not the boot: they are moments of the boot's clock, on a tmpfs (memory.go). Wall clocks decide nothing.
//   - A report is as old as the token that it brings (dispatch.go): one that lay in a socket is not news when it comes.
//   - A lease counts from before its request was sent; the executor grants one only after a barrier that began after it was asked.
//   - Nothing is done to the server while sessions of an earlier watcher may be at work there, nor from a look that began before the last action ended,
//     but for a stop, which waits for nothing.
//   - PostgreSQL is asked as a role that may look and nothing more, and as another one only where that one is not let in, which is reported.
//   - A configuration is in force only as a whole and only when it can be read. A newer one that is broken is refused, and the report says why.
//   - The status files are replaced, never written in place, and carry the time. Whoever reads an old one must take it for silence.
//   - A log line tells of a change. A world that stays as it is makes none.
package watch
