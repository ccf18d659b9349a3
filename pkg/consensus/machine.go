package consensus

// Machine is what is replicated. All replicas see the same calls in the same order, so each must come to the same state: a
// Machine is pure. It does no I/O, reads no clock, starts no goroutine. Its calls never overlap, and Read and View see it
// between two of them.
type Machine interface {
	// Apply does one command. index is that of the entry, growing, with gaps. The result goes to whoever proposed it; a
	// command that is refused is a result. An error stops this replica, loudly and until its program can do better: it is
	// for a command that this version does not know, as a replica that skips one is no replica any more.
	Apply(index uint64, command []byte) (result any, err error)
	// Snapshot is the whole state.
	Snapshot() []byte
	// Restore replaces the whole state. An error stops the replica.
	Restore(snapshot []byte) error
}
