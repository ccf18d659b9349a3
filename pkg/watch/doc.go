// Package watch is the daemon that runs on every node. It reads the site's roll-out of server.yaml, asks its own PostgreSQL
// once a second, and writes what it finds into two files, /var/run/pg_watcher.PGMonitor and .PGNode. It watches and reports; it
// changes nothing.
//
// What holds:
//
//   - Nothing that hangs takes the watcher along. PostgreSQL is asked beside the round, one question at a time: while one hangs
//     no other is asked, and its age is reported.
//   - PostgreSQL is asked as a role that may look and nothing more, and as another one only where that one is not let in, which is reported.
//     A server that has no connection left, is starting or does not answer has let nobody in: that is an answer, and no reason to change.
//   - A configuration is in force only as a whole and only when it can be read. A newer one that is broken is refused, the one
//     before stays in force, and the report says which it is and why the newer one is not.
//   - The files are replaced, never written in place, and carry the time. Whoever reads an old one must take it for silence.
//   - A log line tells of a change. A world that stays as it is makes none.
package watch
