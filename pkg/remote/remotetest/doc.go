// Package remotetest stands in for the machines of a site in tests: Fake is a
// remote.Host without any machine, Server an SSH server inside the test process,
// Site some hundred of those with the configuration to reach them.
package remotetest
