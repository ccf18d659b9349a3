// Package observe looks at a region: every host at once, each for itself, within one deadline.
//
// A host is asked by one command that prints all of its facts, and at the same time, over the same SSH connection, by one
// SQL session where it carries a server; a pool is asked for its backends once its pgpool.conf is known. What does not
// answer costs its own row and nothing else: the failure becomes a value in the snapshot.
package observe
