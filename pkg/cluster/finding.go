package cluster

import (
	"cmp"
	"slices"
)

// Code names a finding. Codes are part of the contract of `overview -o json`: they are added, never renamed.
type Code string

// The findings, and what each means.
const (
	NoMaster            Code = "no-master"             // no server answers as master
	SplitBrain          Code = "split-brain"           // more than one does
	HostUnreachable     Code = "host-unreachable"      // SSH did not get through
	PostgresDown        Code = "postgres-down"         // the host answers, PostgreSQL does not
	PgpoolDown          Code = "pgpool-down"           // the host answers, pgpool does not
	PgpoolWrongBackend  Code = "pgpool-wrong-backend"  // pgpool.conf or the running pgpool names another than the master
	StandbyNotStreaming Code = "standby-not-streaming" // a standby receives no WAL
	StandbyLagging      Code = "standby-lagging"       // replay is paused, or LagLimit or more behind
	NotSynchronous      Code = "not-synchronous"       // a commit does not wait for this standby
	Diverged            Code = "diverged"              // holds WAL that the master does not have
	MasterFileStale     Code = "pg-master-file-stale"  // /pitrix/run/pg_master names another host
	WatcherDown         Code = "watcher-down"          // pg_watcher does not run where it should
	WatcherUnhealthy    Code = "watcher-unhealthy"     // its status file says neither active nor available
	NoQuorum            Code = "no-quorum"             // too few watchers run to decide anything
	HAConfigMismatch    Code = "ha-config-mismatch"    // the zones' server.yaml or the node files contradict each other
	ArbiterMissing      Code = "arbiter-missing"       // fewer than three zones and nobody to break the tie
	SlotRetainsWAL      Code = "slot-retains-wal"      // a slot that nobody reads keeps WAL
	DiskLow             Code = "disk-low"              // the data directory's file system is nearly full
	VersionMismatch     Code = "version-mismatch"      // servers run different releases
	SystemIDMismatch    Code = "system-id-mismatch"    // not a copy of the same cluster at all
	ClockSkew           Code = "clock-skew"            // a host's clock is off
	FailoverDiffers     Code = "failover-differs"      // pools of a 9.x site differ in whether they fail over
	ChangeUnfinished    Code = "change-unfinished"     // a command that changes the region began and has not ended
)

// Severity is how bad a finding is.
type Severity string

// Critical findings make the region critical and the exit code 3; warnings make it degraded.
const (
	Critical Severity = "critical"
	Warning  Severity = "warning"
)

// Status is the region in one word.
type Status string

// The statuses, best first.
const (
	Healthy         Status = "healthy"
	Degraded        Status = "degraded"
	CriticalFailure Status = "critical"
)

// Finding is one thing that is not as it should be.
type Finding struct {
	Severity Severity
	Code     Code
	Host     string // "" when it is the region's
	Message  string // one sentence for the operator, without the host's name in front
	Hint     string // the remedy, a command where one exists; "" when there is none
}

// sortFindings orders by severity, code, host and message, and drops exact repetitions.
func sortFindings(fs []Finding) []Finding {
	slices.SortStableFunc(fs, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Host, b.Host),
			cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(fs)
}

// statusOf is the region's status under these findings.
func statusOf(fs []Finding) Status {
	switch {
	case slices.ContainsFunc(fs, func(f Finding) bool { return f.Severity == Critical }):
		return CriticalFailure
	case len(fs) > 0:
		return Degraded
	}
	return Healthy
}
