// Package postgres knows one PostgreSQL server through a remote.Host: where it is on the host, what its files say, and
// what the running server says over SQL.
//
// SQL goes by pgx through a relay: a short perl program (perl-base is on every Debian and Ubuntu) that the host runs
// under the server's operating system user and that joins its standard input and output to the server's socket. So peer
// authentication is enough, no password exists anywhere, and no port has to be open; sshd needs no socket forwarding,
// which OpenSSH on Ubuntu 14.04 lacks. Where the server does ask for a password, the operator's pgpass file is used.
//
// Own is the server of the very machine that the program runs on, for a watcher. It looks at files, processes and SQL, and acts on them, without a process
// of its own: one thread becomes the operating system user for the moment in which it connects (dialAs). Only the service manager is a command.
package postgres
