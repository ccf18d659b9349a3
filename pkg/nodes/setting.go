package nodes

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// setting is one key of pgctl.yaml: its name and how a value gets into the Config.
type setting struct {
	name string // SECTION.KEY
	list bool
	set  func(values []string) error   // exactly one value unless list
	pair func(key, value string) error // instead of set: a mapping, one pair at a time
}

// settings returns every key of pgctl.yaml, bound to c.
func (c *Config) settings() []setting {
	return []setting{
		one("ssh.user", &c.SSH.User, checkWord),
		port("ssh.port", &c.SSH.Port),
		{name: "ssh.identity_files", list: true, set: c.setIdentityFiles},
		one("postgres.data_dir", &c.Postgres.DataDir, checkPath),
		port("postgres.port", &c.Postgres.Port),
		one("postgres.os_user", &c.Postgres.OSUser, checkWord),
		one("postgres.user", &c.Postgres.User, checkWord),
		one("postgres.dbname", &c.Postgres.DBName, checkWord),
		one("postgres.bin_dir", &c.Postgres.BinDir, checkPath),
		one("postgres.service", &c.Postgres.Service, checkUnit),
		one("replication.user", &c.Replication.User, checkWord),
		one("replication.passfile", &c.Replication.PassFile, checkPath),
		one("pgpool.conf", &c.Pgpool.Conf, checkPath),
		one("pgpool.service", &c.Pgpool.Service, checkUnit),
		one("pgpool.user", &c.Pgpool.User, checkWord),
		one("pgpool.dbname", &c.Pgpool.DBName, checkWord),
		one("watch.listen", &c.Watch.Listen, checkAddress),
		one("watch.metrics", &c.Watch.Metrics, orOff(checkAddress)),
		one("watch.watchdog", &c.Watch.Watchdog, orOff(checkPath)),
		{name: "watch.zones", pair: c.setZone},
		one("watch.notify", &c.Watch.Notify, checkPath),
	}
}

func one(name string, into *string, check func(string) error) setting {
	return setting{name: name, set: func(values []string) error {
		if err := check(values[0]); err != nil {
			return err
		}
		*into = values[0]
		return nil
	}}
}

func port(name string, into *int) setting {
	return setting{name: name, set: func(values []string) error {
		n, ok := parsePort(values[0])
		if !ok {
			return fmt.Errorf("the value %q, expected a TCP port from 1 to 65535; correct the value", values[0])
		}
		*into = n
		return nil
	}}
}

func (c *Config) setIdentityFiles(values []string) error {
	for _, v := range values {
		if home, ok := strings.CutPrefix(v, "~/"); ok {
			v = "/" + home
		}
		if err := checkPath(v); err != nil {
			return err
		}
	}
	c.SSH.IdentityFiles = slices.Clone(values)
	return nil
}

func (c *Config) setZone(host, zone string) error {
	if err := CheckHost(host); err != nil {
		return fmt.Errorf("a bad host: %w; correct the name", err)
	}
	if err := checkZone(zone); err != nil {
		return fmt.Errorf("a bad zone for %s: %w; correct the zone", host, err)
	}
	if c.Watch.Zones == nil {
		c.Watch.Zones = map[string]string{}
	}
	c.Watch.Zones[host] = zone
	return nil
}

// read takes the value of a YAML key. Problems inside a list or a mapping are noted at their own lines.
func (s *setting) read(path string, e entry, problems *Problems) error {
	switch {
	case s.pair != nil:
		if e.value.Kind != yaml.MappingNode {
			return fmt.Errorf("%s, expected one line HOST: ZONE for every host; correct the value", kindName(e.value))
		}
		for _, pair := range entries(path, e.value, problems) {
			value, ok := scalarText(pair.value)
			if !ok {
				problems.add(path, pair.line, "gives %s of %s %s, expected one value; correct it", pair.key, s.name, kindName(pair.value))
			} else if err := s.pair(pair.key, value); err != nil {
				problems.add(path, pair.line, "gives %s %v", s.name, err)
			}
		}
		return nil
	case s.list:
		values, err := listValues(e.value)
		if err != nil {
			return err
		}
		return s.set(values)
	default:
		value, ok := scalarText(e.value)
		if !ok {
			return fmt.Errorf("%s, expected one value; correct or remove the key", kindName(e.value))
		}
		return s.set([]string{value})
	}
}

func listValues(n *yaml.Node) ([]string, error) {
	if n.Kind != yaml.SequenceNode {
		return nil, fmt.Errorf("%s, expected a list such as [/root/.ssh/id_ed25519]; correct the value", kindName(n))
	}
	var values []string
	for _, item := range n.Content {
		value, ok := scalarText(follow(item))
		if !ok {
			return nil, fmt.Errorf("%s in its list, expected one value; correct the list", kindName(follow(item)))
		}
		values = append(values, value)
	}
	return values, nil
}

func find(settings []setting, name string) *setting {
	i := slices.IndexFunc(settings, func(s setting) bool { return s.name == name })
	if i < 0 {
		return nil
	}
	return &settings[i]
}

func namesOf(settings []setting) []string {
	var names []string
	for _, s := range settings {
		names = append(names, s.name)
	}
	return names
}

func sectionsOf(settings []setting) []string {
	var names []string
	for _, s := range settings {
		section, _, _ := strings.Cut(s.name, ".")
		names = append(names, section)
	}
	return slices.Compact(names)
}

func keysOf(settings []setting, section string) []string {
	var keys []string
	for _, s := range settings {
		if key, ok := strings.CutPrefix(s.name, section+"."); ok {
			keys = append(keys, key)
		}
	}
	return keys
}
