// Package sim runs the decisions of pkg/cluster, the very same code as the watchers', in a simulated region: hosts that crash and pause,
// a network that loses, delays and cuts one way, PostgreSQL as the processes that it is made of, a quorum log, pools, clients, and
// operators. One number makes one schedule, and the same number the same schedule, to the last tick.
//
// What is simulated of PostgreSQL is what the safety of the decisions rests on: the postmaster's configuration apart from its file, each
// walsender's own copy of the names, the checkpointer's word that commits wait, up to version 10 each backend's own copy; the receiver
// apart from replay; a receive position that is lost at a restart; streaming that begins at a segment's start and overwrites what was
// there; timelines with numbers that two servers may both open. Positions are counted in records, a segment has segment of them.
//
// The oracle sees everything: which commits returned and what readers saw, on which server, and what every server holds. It is asked at
// each tick and at the end, see oracle.go.
package sim
