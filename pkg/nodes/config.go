package nodes

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Config is pgctl.yaml: where a site differs from the defaults. The zero value of every field means "not set"; its
// reader fills in the default of the site.
type Config struct {
	SSH         SSHConfig
	Postgres    PostgresConfig
	Replication ReplicationConfig
	Pgpool      PgpoolConfig
	Watch       WatchConfig
}

// SSHConfig is the section ssh: how to log in on a node.
type SSHConfig struct {
	User          string
	Port          int      // 1 to 65535
	IdentityFiles []string // absolute paths, or paths that begin with ~/
}

// PostgresConfig is the section postgres: the servers.
type PostgresConfig struct {
	DataDir string // absolute path
	Port    int    // 1 to 65535
	OSUser  string // the OS user that runs PostgreSQL
	User    string // the database role that pgctl logs in as
	DBName  string
	BinDir  string // absolute path
	Service string // the service or unit to ask and act on
}

// ReplicationConfig is the section replication: how a standby logs in on its master.
type ReplicationConfig struct {
	User     string
	PassFile string // absolute path on the servers
}

// PgpoolConfig is the section pgpool: the pools.
type PgpoolConfig struct {
	Conf    string // absolute path of pgpool.conf
	Service string
	User    string // role and database for a trial through a pool
	DBName  string
}

// WatchConfig is the section watch: settings of one host's watcher.
type WatchConfig struct {
	Listen   string            // HOST:PORT or :PORT
	Metrics  string            // HOST:PORT, :PORT or off
	Watchdog string            // absolute path of the device, or off
	Zones    map[string]string // zone of a host whose zone the inventory does not give, such as an arbiter
	Notify   string            // absolute path of a program to be told about events
}

// ParseConfig reads pgctl.yaml. It is strict: an unknown key, a key given twice and a value of the wrong type are
// errors. An empty file is the zero Config. An error is of type Problems.
func ParseConfig(file File) (Config, error) {
	var c Config
	root, problems := parseRoot(file)
	if root == nil {
		return c, problems.err()
	}
	settings := c.settings()
	for _, section := range entries(file.Path, root, &problems) {
		switch {
		case len(keysOf(settings, section.key)) == 0:
			problems.add(file.Path, section.line, "has the unknown section %q%s, expected one of %s; correct or remove it",
				section.key, didYouMean(section.key, sectionsOf(settings)), strings.Join(sectionsOf(settings), ", "))
		case isNull(section.value): // every key of it is commented out
		case section.value.Kind != yaml.MappingNode:
			problems.add(file.Path, section.line, "gives the section %s %s, expected keys such as %q; correct the section",
				section.key, kindName(section.value), keysOf(settings, section.key)[0]+":")
		default:
			readSection(file.Path, section, settings, &problems)
		}
	}
	if len(problems) > 0 {
		return Config{}, problems.err()
	}
	return c, nil
}

func readSection(path string, section entry, settings []setting, problems *Problems) {
	for _, e := range entries(path, section.value, problems) {
		known := keysOf(settings, section.key)
		s := find(settings, section.key+"."+e.key)
		if s == nil {
			problems.add(path, e.line, "has the unknown key %q in the section %s%s, expected one of %s; correct or remove it",
				e.key, section.key, didYouMean(e.key, known), strings.Join(known, ", "))
			continue
		}
		if err := s.read(path, e, problems); err != nil {
			problems.add(path, e.line, "gives %s %v", s.name, err)
		}
	}
}

// Set carries out an assignment of the command line, "postgres.port=5433", as strictly as the file is read. A list
// takes commas, "ssh.identity_files=/a,/b", and replaces what was set before; a zone is set host by host,
// "watch.zones.HOST=ZONE". After an error c is unchanged.
func (c *Config) Set(assignment string) error {
	name, value, ok := strings.Cut(assignment, "=")
	if !ok {
		return fmt.Errorf("%q is no setting, expected SECTION.KEY=VALUE such as postgres.port=5433", assignment)
	}
	settings := c.settings()
	if host, ok := strings.CutPrefix(name, "watch.zones."); ok {
		if err := c.setZone(host, value); err != nil {
			return fmt.Errorf("%s is given %w", name, err)
		}
		return nil
	}
	s := find(settings, name)
	switch {
	case s == nil:
		return fmt.Errorf("%q is no setting%s, expected one of %s", name, didYouMean(name, namesOf(settings)),
			strings.Join(namesOf(settings), ", "))
	case s.pair != nil:
		return fmt.Errorf("%s takes one host at a time, expected %s.HOST=ZONE", name, name)
	}
	values := []string{value}
	if s.list {
		values = strings.Split(value, ",")
	}
	if err := s.set(values); err != nil {
		return fmt.Errorf("%s is given %w", name, err)
	}
	return nil
}
