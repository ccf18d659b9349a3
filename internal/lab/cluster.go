package lab

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// flavour is how PostgreSQL lies on the servers of a region.
type flavour struct {
	version string
	port    int
	dataFS  string // where the data file system is mounted; the data directory can be renamed within
	dataDir string
	binDir  string
	confDir string // of postgresql.conf and pg_hba.conf
	unit    string // what runs the server, to systemd
}

func (s Spec) flavour() flavour {
	if s.PG9 {
		return flavour{
			version: "9.3", port: 5432, dataFS: "/var/lib/postgresql/9.3", dataDir: "/var/lib/postgresql/9.3/main",
			binDir: "/usr/lib/postgresql/9.3/bin", confDir: "/etc/postgresql/9.3/main", unit: "postgresql",
		}
	}
	if s.Postgres == "10" {
		return flavour{
			version: "10", port: 5433, dataFS: "/opt/postgresql", dataDir: "/opt/postgresql/data",
			binDir: "/opt/postgresql/bin", confDir: "/opt/postgresql/data", unit: "postgresql",
		}
	}
	return flavour{
		version: "15", port: 5432, dataFS: "/var/lib/postgresql/15", dataDir: "/var/lib/postgresql/15/main",
		binDir: "/usr/lib/postgresql/15/bin", confDir: "/etc/postgresql/15/main", unit: "postgresql@15-main",
	}
}

// standbySettings are noted in the cluster's control file while it is made: a standby
// refuses to start with less of them than that.
var standbySettings = [...]string{"max_connections=50", "max_wal_senders=10", "max_replication_slots=10", "wal_level=replica", "wal_log_hints=on"}

//go:embed files/initdb.sh
var initdbScript string

//go:embed files/pg_hba.conf
var pgHBA string

// createCluster makes the region's cluster on db1 and leaves it cleanly stopped,
// then gives every other server a copy: a cold copy of a stopped cluster is a legal
// base for a standby.
func (r *Region) createCluster(ctx context.Context) error {
	f := r.spec.flavour()
	first := dirsOf(r.Name(), master)
	script := filepath.Join(first.root, "root", "initdb.sh")
	if err := os.WriteFile(script, []byte(initdbScript), 0o700); err != nil {
		return err
	}
	argv := []string{
		"systemd-nspawn", "--quiet", "--directory=" + first.root, "--register=no", "--keep-unit", "--as-pid2",
		"--console=pipe", "--private-network", "--resolv-conf=off", "--timezone=off", "--link-journal=no",
		"--bind=" + first.data + ":" + f.dataFS,
		"--setenv=LANG=C.UTF-8", "--setenv=PGBIN=" + f.binDir, "--setenv=PGDATA=" + f.dataDir, fmt.Sprintf("--setenv=PGPORT=%d", f.port),
		"--setenv=APP_PASSWORD=" + AppPassword, "--setenv=POOL_PASSWORD=" + PoolPassword,
		"--setenv=REPLICATOR_PASSWORD=" + ReplicatorPassword, "--setenv=SLOTS=" + strings.Join(r.spec.slots(), " "), "--setenv=PGCONF=" + f.confDir,
		"--setenv=STANDBY_SETTINGS=-c " + strings.Join(standbySettings[:], " -c "),
		"/bin/sh", "-eu", "/root/initdb.sh",
	}
	if err := run(ctx, inGroups(cgroupDirs(r.Name(), master), argv...)...); err != nil {
		return fmt.Errorf("create the cluster: %w", err)
	}
	if err := os.Remove(script); err != nil {
		return err
	}
	for _, name := range r.spec.servers()[1:] {
		other := dirsOf(r.Name(), name)
		if err := run(ctx, "cp", "-a", first.data+"/.", other.data); err != nil {
			return fmt.Errorf("%s: copy the cluster: %w", name, err)
		}
		slots, _ := filepath.Glob(filepath.Join(other.data, filepath.Base(f.dataDir), "pg_replslot", "*"))
		for _, slot := range slots { // a copy has no slots of the original
			if err := os.RemoveAll(slot); err != nil {
				return err
			}
		}
	}
	for _, name := range r.spec.servers() {
		if err := r.configureServer(name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// slots are the replication slots that the master keeps: one for each standby, but 9.3 has none.
func (s Spec) slots() []string {
	if s.PG9 {
		return nil
	}
	return s.servers()[1:]
}

// configureServer writes the configuration of one server into its disk.
func (r *Region) configureServer(name string) error {
	f := r.spec.flavour()
	d := r.disk(name)
	settings := serverConf(r.spec, name)
	if r.spec.PG9 {
		r.configurePG9Server(d, name)
		return d.err
	}
	if f.version == "10" { // in the data directory, where a base backup takes it along
		d.appendTo(f.confDir+"/postgresql.conf", "\n"+settings)
		d.write(f.confDir+"/pg_hba.conf", pgHBA, 0o640, postgresUser)
		if name != master {
			d.write(f.dataDir+"/recovery.conf", standbyConf(r.spec, name), 0o600, postgresUser)
		}
	} else {
		d.write(f.confDir+"/conf.d/region.conf", settings, 0o644, postgresUser)
		d.write(f.confDir+"/pg_hba.conf", pgHBA, 0o640, postgresUser)
		if name != master { // as pg_basebackup --write-recovery-conf does
			d.appendTo(f.dataDir+"/postgresql.auto.conf", standbyConf(r.spec, name))
			d.write(f.dataDir+"/standby.signal", "", 0o600, postgresUser)
		}
	}
	d.write("/var/lib/postgresql/.pgpass", "*:*:*:replicator:"+ReplicatorPassword+"\n", 0o600, postgresUser)
	d.write("/pitrix/run/pg_master", master+"\n", 0o644, rootUser)
	return d.err
}

// serverConf is what a server sets apart from its defaults. Every other server must
// have a write before it is acknowledged.
func serverConf(s Spec, host string) string {
	var others []string
	for _, name := range s.servers() {
		if name != host && !s.PG9 {
			others = append(others, `"`+name+`"`)
		}
	}
	names := ""
	if len(others) > 0 {
		names = fmt.Sprintf("FIRST %d (%s)", len(others), strings.Join(others, ","))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Settings of this region.\nport = %d\nlisten_addresses = '*'\n", s.flavour().port)
	for _, setting := range standbySettings {
		b.WriteString(strings.Replace(setting, "=", " = ", 1) + "\n")
	}
	b.WriteString("hot_standby = on\nshared_buffers = 32MB\nmax_wal_size = 256MB\nmin_wal_size = 64MB\npassword_encryption = 'scram-sha-256'\n")
	fmt.Fprintf(&b, "synchronous_commit = on\nsynchronous_standby_names = '%s'\n", names)
	if s.Postgres == "10" { // Debian's are built with this directory
		b.WriteString("unix_socket_directories = '/var/run/postgresql'\nlog_line_prefix = '%m [%p] %q%u@%d '\n")
	}
	for _, key := range slices.Sorted(maps.Keys(s.ServerConf)) {
		fmt.Fprintf(&b, "%s = '%s'\n", key, strings.ReplaceAll(s.ServerConf[key], "'", "''"))
	}
	return b.String()
}

// standbyConf makes a server follow the master. The password is in the OS user's
// .pgpass.
func standbyConf(s Spec, host string) string {
	if s.PG9 { // as configure_slave.sh writes it
		return fmt.Sprintf("standby_mode = 'on'\nprimary_conninfo = 'host=%s port=%d user=replicator'\n"+
			"trigger_file = '/tmp/postgres-failover.trigger'\nrecovery_target_timeline = 'latest'\n", address(11), s.flavour().port)
	}
	conf := fmt.Sprintf("primary_conninfo = 'host=%s port=%d user=replicator application_name=%s'\nprimary_slot_name = '%s'\n",
		master, s.flavour().port, host, host)
	if s.Postgres == "10" {
		return "standby_mode = 'on'\n" + conf + "recovery_target_timeline = 'latest'\n"
	}
	return conf
}
