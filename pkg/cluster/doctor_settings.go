package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// settings judges what the servers say of themselves.
func (d *diagnosis) settings(vitals map[string]Vitals) {
	weaker := map[string]bool{} // roles and databases are the same on every server of a cluster
	for _, host := range slices.Sorted(maps.Keys(vitals)) {
		v := vitals[host]
		d.unsafe(host, v)
		d.fileErrors(host, v.FileErrors)
		for _, s := range v.Weaker {
			if waits(s.Value) || weaker[s.String()] {
				continue
			}
			weaker[s.String()] = true
			d.warn(UnsafeSetting, host, s.reset(), "%s: such commits wait for no standby, and a failover may lose them", s)
		}
	}
}

// unsafe: what was acknowledged is not on the disk, or on no other server.
func (d *diagnosis) unsafe(host string, v Vitals) {
	const hint = "set it to on in postgresql.conf (on that server), and reload"
	for name, value := range map[string]string{"fsync": v.Fsync, "full_page_writes": v.FullPageWrites} {
		if value != "on" {
			d.critical(UnsafeSetting, host, hint, "%s is %s: after a crash its data may be broken", name, value)
		}
	}
	if !waits(v.SyncCommit) {
		d.critical(UnsafeSetting, host, hint, "synchronous_commit is %s: no commit waits until a standby has it, and a failover may lose it", v.SyncCommit)
	}
}

// waits tells whether a commit under this synchronous_commit waits for the standbys' disks (PostgreSQL manual,
// "synchronous_commit"); true, yes and 1 are other words for on.
func waits(value string) bool {
	return slices.Contains([]string{"on", "remote_apply", "true", "yes", "1"}, strings.ToLower(value))
}

// fileErrors: a line that PostgreSQL cannot read, or a setting that it does not know, makes every reload change nothing at
// all, silently. An error of a known setting costs that one setting only.
func (d *diagnosis) fileErrors(host string, errs []FileError) {
	for _, e := range errs {
		what := e.Error
		if e.Name != "" {
			what = e.Name + ": " + e.Error
		}
		hint := fmt.Sprintf("correct the line: ssh %s \"sed -n %dp %s\"", host, e.Line, e.File)
		if e.Known {
			d.warn(ConfigFileError, host, hint, "%s:%d: %s", e.File, e.Line, what)
			continue
		}
		d.critical(ConfigFileError, host, hint, "%s:%d: %s: as long as it stands there, a reload changes nothing, and says so only in the log", e.File, e.Line, what)
	}
}

// String says whose setting it is, and what.
func (s SyncSetting) String() string {
	return fmt.Sprintf("synchronous_commit is %s for %s", s.Value, s.whose())
}

func (s SyncSetting) whose() string {
	switch {
	case s.Role != "" && s.Database != "":
		return fmt.Sprintf("the role %s in the database %s", s.Role, s.Database)
	case s.Role != "":
		return "the role " + s.Role
	case s.Database != "":
		return "the database " + s.Database
	}
	return "every role" // ALTER ROLE ALL
}

// reset is the SQL that takes the setting back.
func (s SyncSetting) reset() string {
	switch {
	case s.Role == "" && s.Database != "":
		return fmt.Sprintf("ALTER DATABASE %q RESET synchronous_commit", s.Database)
	case s.Database != "":
		return fmt.Sprintf("ALTER ROLE %q IN DATABASE %q RESET synchronous_commit", s.Role, s.Database)
	case s.Role != "":
		return fmt.Sprintf("ALTER ROLE %q RESET synchronous_commit", s.Role)
	}
	return "ALTER ROLE ALL RESET synchronous_commit"
}
