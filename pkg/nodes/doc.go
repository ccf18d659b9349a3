// Package nodes reads the inventory of a site: the node files, the zones' server.yaml files and
// pgctl.yaml. It also makes the one kind of edit that pgctl does to them, a byte-exact one.
//
// The package is pure: bytes in, model or bytes out. It opens no file, starts no process and asks for
// no time; its callers read and write through a host of their choice.
//
// Invariants:
//   - Nothing of a node file is ever executed. What would need a shell to be known is refused.
//   - Every host name that leaves the package has passed CheckHost, so none can carry a blank, a quote, an
//     option dash or any other character that means something to a shell.
//   - Every problem names the file and the line, what was found there, what was expected, and what to do. Parse
//     reports all problems at once, so that a file has to be corrected only once.
//   - An edit changes the bytes of one value and proves it by reading the result again.
package nodes
