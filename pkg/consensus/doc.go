// Package consensus lets the servers and arbiters of a site agree: hashicorp/raft as an embedded engine behind a small
// interface. A Machine is replicated; a Node proposes commands to it, tells who leads, and keeps the voters as the
// inventory wants them. A Port is the one TCP port that hosts speak to each other through.
//
// What holds:
//
//   - An index that Propose returns is the fencing token of its command: committed by a majority, applied in that order on
//     every replica. That a node leads is never proof by itself: a stopped process wakes up and believes it for milliseconds.
//   - Leadership is a stream in which no edge is lost, though it is told late.
//   - Nobody says a word on the port before its certificate has proven a host of the inventory and a role that may say it.
//   - A voter whose disk was emptied, or was put back to an older state, does not vote or acknowledge among peers that
//     have heard of what it forgot (mark.go; what that does not cover: docs/consensus.md).
//   - A replica that cannot go on (its disk hangs or is full, its Machine does not know a command) stops: Failed tells,
//     and the process is to end. It casts no vote and acts on nothing from then on.
//   - Voters are an odd number, changed one at a time, each change leaving a majority of them alive (change.go).
//
// The package knows nothing of PostgreSQL. Nothing here reads a clock; time is handed in.
package consensus
