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

//go:embed files/build_global_conf.sh
var buildGlobalConf string

//go:embed files/update.sh
var updateScript string

//go:embed files/server.yaml
var serverYAMLTemplate string

// configureHosts writes all that makes the hosts different from the image: names,
// addresses, keys, services, and on firstbox the site's inventory and scripts.
func (r *Region) configureHosts(ctx context.Context) error {
	if err := r.each(r.hosts, func(h *Host) error { return r.makeKey(ctx, h.Name()) }); err != nil {
		return err
	}
	if err := r.makeSiteKey(ctx); err != nil {
		return err
	}
	operator, err := r.publicKey(firstbox, operatorKey)
	if err != nil {
		return err
	}
	for _, h := range r.hosts {
		if err := r.configureHost(h.spec, operator); err != nil {
			return fmt.Errorf("%s: configure: %w", h.Name(), err)
		}
	}
	if err := r.configureFirstbox(); err != nil {
		return fmt.Errorf("%s: configure: %w", firstbox, err)
	}
	return nil
}

func (r *Region) configureHost(h hostSpec, operatorKey string) error {
	d := r.disk(h.name)
	d.write("/etc/hostname", h.name+"\n", 0o644, rootUser)
	d.write("/etc/hosts", hostsFile(r.spec), 0o644, rootUser)
	d.write("/etc/region-address", h.addr+"/24\n", 0o644, rootUser)
	d.write("/root/.ssh/authorized_keys", operatorKey, 0o600, rootUser)
	services := []string{"ssh"}
	if h.server {
		services = append(services, "postgresql")
	} else {
		d.remove("/etc/postgresql/15") // no cluster here, so nothing to start
	}
	if h.pool {
		services = append(services, "pgpool2")
		configurePool(d, r.spec)
	}
	if r.spec.PG9 {
		services = append(services, r.configurePG9(d, h)...)
	} else if h.name != firstbox {
		services = append(services, "supervisor")
		d.write("/pitrix/conf/global/server.yaml", serverYAML(r.spec, r.spec.zoneFileOf(h)), 0o644, rootUser)
	}
	if h.server && r.spec.Postgres == "10" && !r.spec.PG9 {
		installPostgres10(d)
	}
	d.write("/etc/region-services", strings.Join(services, "\n")+"\n", 0o644, rootUser)
	for _, service := range services[1:] { // ssh is enabled in the image
		unitDir := "/lib/systemd/system/"
		if service == "postgresql" && r.spec.Postgres == "10" {
			unitDir = "/etc/systemd/system/"
		}
		d.link(unitDir+service+".service", "/etc/systemd/system/multi-user.target.wants/"+service+".service")
	}
	return d.err
}

// configurePool names the master alone as backend, as the site does: the pool pools
// connections and never fails over by itself.
func configurePool(d *disk, s Spec) {
	f := s.flavour()
	d.set("/etc/pgpool2/pgpool.conf", [][2]string{
		{"listen_addresses", "'*'"},
		{"port", "9999"},
		{"backend_hostname0", "'" + master + "'"},
		{"backend_port0", fmt.Sprint(f.port)},
		{"backend_weight0", "1"},
		{"backend_flag0", "'DISALLOW_TO_FAILOVER'"},
		{"backend_data_directory0", "'" + f.dataDir + "'"},
		{"enable_pool_hba", "on"},
		{"num_init_children", "8"},
		{"max_pool", "2"},
		{"memqcache_total_size", "4MB"}, // no query is cached; a start clears what is allocated
		{"memqcache_max_num_cache", "1000"},
		{"sr_check_user", "'pgpool'"},
		{"sr_check_database", "'postgres'"},
	})
	d.appendTo("/etc/pgpool2/pool_hba.conf", "\n# The region's network.\nhost    all         all         "+subnet+"       scram-sha-256\n")
	// Mode and owner stay the package's: root may write, postgres may read.
	d.appendTo("/etc/pgpool2/pool_passwd", "app:TEXT"+AppPassword+"\npgpool:TEXT"+PoolPassword+"\n")
}

func (r *Region) configureFirstbox() error {
	d := r.disk(firstbox)
	known, err := r.knownHosts()
	if err != nil {
		return err
	}
	d.write("/root/.ssh/known_hosts", known, 0o600, rootUser)
	if r.spec.PG9 {
		r.configurePG9Firstbox(d)
	} else {
		d.write("/pitrix/conf/nodes/pgserver", nodesFile(r.spec.servers()), 0o644, rootUser)
	}
	if pools := r.spec.pools(); len(pools) > 0 {
		d.write("/pitrix/conf/nodes/pgpool", nodesFile(pools), 0o644, rootUser)
	}
	if arbiters := r.spec.arbiters(); len(arbiters) > 0 {
		d.write("/pitrix/conf/nodes/webservice", nodesFile(arbiters), 0o644, rootUser)
	}
	if !r.spec.PG9 {
		for _, zone := range r.spec.zones() {
			d.write("/pitrix/conf/variables/global/server.yaml."+zone, serverYAML(r.spec, zone), 0o644, rootUser)
		}
		d.write("/pitrix/upgrade/build_global_conf.sh", buildGlobalConf, 0o755, rootUser)
		d.write("/pitrix/upgrade/update.sh", updateScript, 0o755, rootUser)
	}
	if r.spec.Binary != "" {
		binary, err := os.ReadFile(r.spec.Binary)
		if err != nil {
			return err
		}
		d.write("/usr/local/bin/pgctl", string(binary), 0o755, rootUser)
	}
	return d.err
}

// zoneFileOf is the zone whose server.yaml a host gets: its own, else the first.
func (s Spec) zoneFileOf(h hostSpec) string {
	if h.server {
		return h.zone
	}
	return s.zones()[0]
}

func hostsFile(s Spec) string {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n::1 localhost ip6-localhost\n\n")
	for _, h := range s.hosts() {
		fmt.Fprintf(&b, "%s %s\n", h.addr, h.name)
	}
	return b.String()
}

func nodesFile(names []string) string {
	return fmt.Sprintf("nodes=\"%s\"\n", strings.Join(names, " "))
}

// serverYAML is the configuration of the platform's services in one zone, of which
// pg_watcher is one section.
func serverYAML(s Spec, zone string) string {
	inactive, byTS := "1", "0"
	if s.HAOn {
		inactive = "0"
	}
	if s.MasterByTS {
		byTS = "1"
	}
	var globals, nodes strings.Builder
	if arbiters := s.arbiters(); len(arbiters) > 0 {
		fmt.Fprintf(&globals, "  # global节点的信息, 若ZONE的个数多于2，无此配置\n  globals: '%s'\n", strings.Join(arbiters, ","))
	}
	for _, h := range s.hosts() {
		if h.server {
			fmt.Fprintf(&nodes, "    %s:\n      zone_id: '%s'\n", h.name, h.zone)
			if pools := s.pools(); len(pools) > 0 {
				fmt.Fprintf(&nodes, "      pgpools: '%s'\n", strings.Join(pools, ","))
			}
		}
	}
	var more strings.Builder
	for _, key := range slices.Sorted(maps.Keys(s.Watcher)) {
		fmt.Fprintf(&more, "  %s: %s\n", key, s.Watcher[key])
	}
	return strings.NewReplacer(
		"@ZONE@", zone,
		"@GLOBALS@\n", globals.String(),
		"@INACTIVE@", inactive,
		"@BYTS@", byTS,
		"@MORE@\n", more.String(),
		"@NODES@\n", nodes.String(),
	).Replace(serverYAMLTemplate)
}

const (
	hostKey     = "/etc/ssh/ssh_host_ed25519_key"
	operatorKey = "/root/.ssh/id_ed25519"
)

// makeKey makes the host's SSH host key, and on firstbox the operators' key, with
// the image's own ssh-keygen.
func (r *Region) makeKey(ctx context.Context, host string) error {
	paths := []string{hostKey}
	if host == firstbox {
		paths = append(paths, operatorKey)
	}
	for _, path := range paths {
		if err := r.makeKeyAt(ctx, host, path); err != nil {
			return err
		}
	}
	return nil
}

func (r *Region) makeKeyAt(ctx context.Context, host, path string) error {
	argv := []string{"chroot", dirsOf(r.Name(), host).root, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "root@" + host, "-f", path}
	if err := run(ctx, argv...); err != nil {
		return fmt.Errorf("%s: %w", host, err)
	}
	return nil
}

func (r *Region) publicKey(host, path string) (string, error) {
	return readFile(filepath.Join(dirsOf(r.Name(), host).root, path+".pub"))
}

func readFile(path string) (string, error) {
	text, err := os.ReadFile(path)
	return string(text), err
}

func (r *Region) knownHosts() (string, error) {
	var b strings.Builder
	for _, h := range r.spec.hosts() {
		key, err := r.publicKey(h.name, hostKey)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%s,%s %s\n", h.name, h.addr, strings.TrimSpace(key))
	}
	return b.String(), nil
}
