package cluster

import "github.com/pgctl/pgctl/pkg/nodes"

// Checkup is what Examine is told beyond a snapshot.
type Checkup struct {
	Inventory  *nodes.Inventory
	Vitals     map[string]Vitals   // by server
	Unasked    map[string]string   // by host: why it could not be asked for what is needed here
	OldScripts map[string][]string // by host: scripts of the site that go round the quorum, by path
	Links      []Link
}

// Vitals are settings of a running server by which it keeps or loses what it has acknowledged.
type Vitals struct {
	Fsync, FullPageWrites string
	SyncCommit            string        // synchronous_commit of the server, roles and databases apart
	Weaker                []SyncSetting // synchronous_commit as roles and databases have it
	FileErrors            []FileError   // what the server cannot read in its configuration files
}

// SyncSetting is a synchronous_commit set for a role, a database or both (pg_db_role_setting).
type SyncSetting struct {
	Role, Database string // "" every one
	Value          string
}

// FileError is a row of pg_file_settings with an error.
type FileError struct {
	File  string
	Line  int
	Name  string // "" when not even a name was read
	Error string
	Known bool // the server has a setting of that name
}

// Link is one attempt to connect, made on one host to another one by its name.
type Link struct {
	From, To string
	Port     int
	Postgres bool // the port is PostgreSQL's, else sshd's
	Answer   LinkAnswer
	Failure  string // why there is no connection
}

// LinkAnswer is what came back.
type LinkAnswer string

// The answers. A refusal comes from the other host itself: the way there is open.
const (
	LinkConnected LinkAnswer = "connected"
	LinkRefused   LinkAnswer = "refused"
	LinkSilent    LinkAnswer = "silent"  // no answer, or the name is not known there
	LinkUntried   LinkAnswer = "untried" // sshd of the host forbids it, so nothing is known
)
