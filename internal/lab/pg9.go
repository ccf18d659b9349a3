package lab

import (
	"context"
	"embed"
	"fmt"
	"path/filepath"
	"strings"
)

// pg9Files are our stand-ins for what a site of installer 3.x has: the scripts in
// /var/lib/postgresql/bin, pgpool's failover_command, the init script of 9.3. They
// do what the operators' guide says of the originals.
//
//go:embed files/pg9
var pg9Files embed.FS

const (
	siteScripts = "/var/lib/postgresql/bin"
	failoverCmd = "/etc/pgpool2/failover.sh"
	siteKey     = "/root/.ssh/id_ed25519" // of servers and pools, all the same
)

func (d *disk) writePG9(name, path string, who owner) {
	text, err := pg9Files.ReadFile("files/pg9/" + name)
	d.do(func() error { return err })
	d.write(path, string(text), 0o755, who)
}

// configurePG9 makes a host one of a site of installer 3.x, and returns what more
// it runs.
func (r *Region) configurePG9(d *disk, h hostSpec) []string {
	d.do(func() error { return r.trust(d, h) })
	if h.pool {
		configurePG9Pool(d, r.spec)
	}
	if !h.server {
		return nil
	}
	d.remove("/etc/postgresql/15")
	d.link(postgres10Tree+"/bin", "/usr/lib/postgresql/9.3/bin")
	d.link("/usr/lib/postgresql/15/bin/psql", "/usr/local/bin/psql") // Debian's own wants a cluster of its own
	d.writePG9("postgresql.init", "/etc/init.d/postgresql", rootUser)
	for _, name := range []string{"utils.sh", "configure_master.sh", "configure_slave.sh", "base_backup.sh", "post_failover.sh"} {
		d.writePG9(name, siteScripts+"/"+name, postgresUser)
	}
	d.write("/pitrix/ks/pgserver/conf/pgserver_hosts", strings.Join(r.spec.servers(), "\n")+"\n", 0o644, rootUser)
	d.write("/pitrix/ks/pgserver/conf/pgpool_hosts", strings.Join(r.spec.pools(), "\n")+"\n", 0o644, rootUser)
	return []string{"cron"}
}

// trust lets servers and pools reach each other by SSH, as root and as postgres, and
// firstbox: what the site's scripts need.
func (r *Region) trust(d *disk, h hostSpec) error {
	public, err := r.publicKey(master, siteKey)
	if err != nil {
		return err
	}
	known, err := r.knownHosts()
	if err != nil {
		return err
	}
	d.appendTo("/root/.ssh/authorized_keys", public)
	d.write("/etc/ssh/ssh_known_hosts", known, 0o644, rootUser)
	if h.name == firstbox {
		return d.err
	}
	private, err := readFile(filepath.Join(dirsOf(r.Name(), master).root, siteKey))
	if err != nil {
		return err
	}
	d.write(siteKey, private, 0o600, rootUser)
	d.write("/var/lib/postgresql/.ssh/id_ed25519", private, 0o600, postgresUser)
	d.write("/var/lib/postgresql/.ssh/authorized_keys", public, 0o600, postgresUser)
	d.own("/var/lib/postgresql/.ssh", postgresUser)
	return d.err
}

// configurePG9Pool names both servers. pgpool watches them, and fails over once it
// is allowed to: it touches the file on the slave that promotes it.
func configurePG9Pool(d *disk, s Spec) {
	f := s.flavour()
	settings := [][2]string{
		{"backend_clustering_mode", "'streaming_replication'"},
		{"load_balance_mode", "off"},
		{"failover_command", "'" + failoverCmd + " %d %P %H'"},
		{"failover_on_backend_error", "on"},
		{"health_check_period", "2"},
		{"health_check_timeout", "2"},
		{"health_check_user", "'pgpool'"},
		{"health_check_database", "'postgres'"},
		{"health_check_max_retries", "1"},
		{"health_check_retry_delay", "1"},
		{"connect_timeout", "2000"},
		{"sr_check_period", "2"},
	}
	for i, name := range s.servers() {
		for _, set := range [][2]string{
			{"backend_hostname", "'" + name + "'"},
			{"backend_port", fmt.Sprint(f.port)},
			{"backend_weight", "1"},
			{"backend_data_directory", "'" + f.dataDir + "'"},
			{"backend_flag", "'DISALLOW_TO_FAILOVER'"},
		} {
			settings = append(settings, [2]string{set[0] + fmt.Sprint(i), set[1]})
		}
	}
	d.set("/etc/pgpool2/pgpool.conf", settings)
	d.writePG9("failover.sh", failoverCmd, rootUser)
}

// configurePG9Server writes PostgreSQL's configuration where Debian has it.
func (r *Region) configurePG9Server(d *disk, name string) {
	f := r.spec.flavour()
	conf := fmt.Sprintf("data_directory = '%s'\nhba_file = '%s/pg_hba.conf'\nident_file = '%s/pg_ident.conf'\n", f.dataDir, f.confDir, f.confDir) +
		serverConf(r.spec, name) + "wal_keep_segments = 32\n"
	d.write(f.confDir+"/postgresql.conf", conf, 0o644, postgresUser)
	d.write(f.confDir+"/pg_hba.conf", pgHBA, 0o640, postgresUser)
	d.write(f.confDir+"/pg_ident.conf", "", 0o640, postgresUser)
	d.own(f.confDir, postgresUser) // the site's scripts edit there as postgres
	if name != master {
		d.write(f.dataDir+"/recovery.conf", standbyConf(r.spec, name), 0o600, postgresUser)
	}
	d.write("/var/lib/postgresql/.pgpass", "*:*:*:replicator:"+ReplicatorPassword+"\n", 0o600, postgresUser)
}

func (r *Region) configurePG9Firstbox(d *disk) {
	servers := r.spec.servers()
	d.write("/pitrix/conf/nodes/pgmaster", nodesFile(servers[:1]), 0o644, rootUser)
	d.write("/pitrix/conf/nodes/pgslave", nodesFile(servers[1:]), 0o644, rootUser)
}

// makeSiteKey makes the key that the hosts of the site use among themselves.
func (r *Region) makeSiteKey(ctx context.Context) error {
	if !r.spec.PG9 {
		return nil
	}
	return r.makeKeyAt(ctx, master, siteKey)
}
