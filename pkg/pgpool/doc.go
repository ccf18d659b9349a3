// Package pgpool knows one pgpool-II through a remote.Host: what its pgpool.conf says, and what the running pgpool,
// which may well differ, says of its backends.
package pgpool
