package pg9

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/remote"
)

// MarksDir is where pgctl marks on a server which of the site's scripts have run to their end, and for which change of roles: what
// they do cannot be seen from outside.
const MarksDir = "/var/lib/pgctl/pg9"

//go:embed site.sh
var siteScript string

// Host is what one server of a 9.x site has beyond PostgreSQL.
type Host struct {
	Failure     *cluster.Failure // why it could not be asked; nil: it answered
	Files       map[string][]byte
	Cron        []string            // jobs that run the robot, as "FILE:LINE:job"
	Robot       []string            // process IDs of a robot that runs
	Busy        string              // what an earlier pgctl has begun there that still runs; "" nothing
	Triggers    []string            // trigger files that are there
	Triggered   bool                // its recovery.conf names one
	Tablespaces bool                // the data has tablespaces elsewhere
	NoData      bool                // the data directory is empty, or not there
	Label       bool                // the data has a backup_label: it is a copy that was never started
	Mounted     bool                // the data directory is a mount point itself
	Marks       map[string]string   // by the name of the mark
	Names       map[string][]string // the IPv4 addresses that it takes a name for
}

// files are read with the facts.
var files = []string{Utils, ConfigureMaster, ConfigureSlave, BaseBackup, PostFailover, Marker, HostsFile}

// Ask asks one server for everything. dataDir is where its data is to be, names are those to resolve there.
func Ask(ctx context.Context, host remote.Host, dataDir string, names []string) Host {
	h := AskState(ctx, host, dataDir, names...)
	if h.Failure != nil {
		return h
	}
	wanted := slices.Clone(files)
	for _, path := range Edited {
		wanted = append(wanted, path+BackupSuffix)
	}
	var err error
	if h.Files, err = remote.ReadFiles(ctx, host, wanted...); err != nil {
		return failed(host, err)
	}
	return h
}

// AskState is Ask without the files.
func AskState(ctx context.Context, host remote.Host, dataDir string, names ...string) Host {
	h, err := ask(ctx, host, dataDir, names)
	if err != nil {
		return failed(host, err)
	}
	return h
}

func failed(host remote.Host, err error) Host {
	return Host{Failure: &cluster.Failure{Message: strings.TrimPrefix(err.Error(), host.Name()+": ")}}
}

func ask(ctx context.Context, host remote.Host, dataDir string, names []string) (Host, error) {
	out, err := host.Run(ctx, remote.Script(siteScript, append([]string{dataDir, MarksDir, TriggerFile}, names...)...))
	if err != nil {
		return Host{}, err
	}
	return parse(string(out.Stdout))
}

// parse reads what site.sh printed.
func parse(text string) (Host, error) {
	h := Host{Marks: map[string]string{}, Names: map[string][]string{}}
	ended := false
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch name {
		case "cron":
			h.Cron = append(h.Cron, cluster.Printable(value))
		case "robot":
			h.Robot = append(h.Robot, value)
		case "busy":
			h.Busy = cluster.Printable(value)
			if h.Busy == "" {
				h.Busy = "a step"
			}
		case "trigger":
			h.Triggers = append(h.Triggers, value)
		case "triggered":
			h.Triggered = true
		case "tablespaces":
			h.Tablespaces = true
		case "nodata":
			h.NoData = true
		case "label":
			h.Label = true
		case "mounted":
			h.Mounted = true
		case "mark":
			mark, key, _ := strings.Cut(value, " ")
			h.Marks[mark] = key
		case "name":
			host, addresses, _ := strings.Cut(value, " ")
			h.Names[host] = strings.Fields(addresses)
		case "end":
			ended = true
		default:
			return h, fmt.Errorf("cannot read the fact %q", strings.TrimSpace(line))
		}
	}
	if !ended {
		return h, errors.New("its answer has no end")
	}
	return h, nil
}

// Has tells whether the file is there.
func (h *Host) Has(path string) bool {
	_, ok := h.Files[path]
	return ok
}

// Servers are the hosts of pgserver_hosts in their order, which is install_failover_cron's.
func (h *Host) Servers() ([]string, error) {
	var hosts []string
	for line := range strings.Lines(string(h.Files[HostsFile])) {
		line, _, _ = strings.Cut(line, "#")
		hosts = append(hosts, strings.Fields(line)...)
	}
	if len(hosts) != 2 {
		return nil, fmt.Errorf("%s has %d hosts, expected both servers; correct it", HostsFile, len(hosts))
	}
	for _, name := range hosts {
		if strings.ContainsFunc(name, func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune(".-_", c)
		}) || name[0] == '-' {
			return nil, fmt.Errorf("%s: %q is no host name; correct it", HostsFile, name)
		}
	}
	return hosts, nil
}

// Address is the IPv4 address by which this host knows a server: one that the server really has. Many a host takes its own name for a
// loopback address, which a script would hand on to the other server; then it is the one by which the other one knows it.
func (h *Host) Address(server *cluster.Server, other *Host) (string, error) {
	for _, from := range []*Host{h, other} {
		loopback := false
		for _, a := range from.Names[server.Host] {
			ip, err := netip.ParseAddr(a)
			loopback = loopback || err == nil && ip.IsLoopback()
			if err == nil && ip.Is4() && !ip.IsLoopback() && slices.Contains(server.Addresses, a) {
				return a, nil
			}
		}
		if !loopback {
			break
		}
	}
	known := strings.Join(h.Names[server.Host], " and ")
	if known == "" {
		known = "nothing"
	}
	return "", fmt.Errorf("it takes the name %s for %s, expected an address that %s has for others; correct its /etc/hosts", server.Host, known, server.Host)
}
