// Package service knows a host's services: systemd units where systemd runs, init scripts through service(8) where it
// does not (Ubuntu 14.04), and supervisor's programs on both.
//
// Reading is a fragment of shell that other facts of the same host are asked along with, and a parser for what it prints.
package service
