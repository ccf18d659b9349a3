// Package remote reaches the machines of a site: it runs commands on them,
// reads and writes their files and opens connections as seen from them.
//
// A Host is all that the rest of the program knows about a machine. It is
// reached over SSH, or it is the machine the program itself runs on; both
// behave alike, so a procedure runs the same from an operators' host and on
// the node itself.
//
// What holds for every Host:
//
//   - Run, Pipe and Dial return at the deadline of their context, whatever the
//     other side does: a peer that hangs while it accepts, greets, exchanges
//     keys, authenticates, opens a channel, starts a command or writes output
//     costs its caller the deadline and nothing more.
//   - A command is never sent twice. A cached connection that died is made
//     again only while the command has not left this machine.
//   - Arguments are quoted for the shell of the other side. Secrets travel on
//     standard input, which is never logged.
//   - Output is complete or there is an error: a lost connection is never taken
//     for the end of the output. A command that leaves a background process
//     holding its output open is therefore not finished for Run.
//   - A host that cannot be reached gives an *Unreachable: one sentence for the
//     operator and a remedy. A command that ran and failed gives an *ExitError,
//     one that did not end in time an *Interrupted.
//
// When the context ends over SSH the channel is closed, but sshd does not kill
// the command: one that neither reads its input nor writes output goes on. A
// step that must not outlive its caller needs timeout(1) in its arguments. On
// the local machine the whole process group is killed.
//
// There is one SSH connection a host with many channels on it, at most
// maxSessions commands at a time (MaxSessions of sshd is 10 by default).
package remote
