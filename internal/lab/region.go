package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Region is a region that is up.
type Region struct {
	spec  Spec
	hosts []*Host
	ids   map[owner][2]int
	image []string // lower directories of every disk, topmost first
}

// Up builds a region and returns when it works: sshd answers on every host, every
// standby streams synchronously, the application can write through each pool. A
// region of that name that is up, or half up, is taken down first. When Up fails,
// nothing of the region is left.
func Up(ctx context.Context, spec Spec) (*Region, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	spec, err := spec.withDefaults()
	if err != nil {
		return nil, err
	}
	if spec.Binary != "" {
		if _, err := os.Stat(spec.Binary); err != nil {
			return nil, fmt.Errorf("the binary for firstbox: %w", err)
		}
	}
	r := newRegion(spec)
	if err := r.findImages(ctx); err != nil {
		return nil, err
	}
	unlock, err := lockRegion(spec.Name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	started := time.Now()
	if err := r.build(ctx); err != nil {
		err = fmt.Errorf("region %s: %w", spec.Name, err)
		return nil, errors.Join(err, takeDown(context.WithoutCancel(ctx), spec.Name))
	}
	r.say("region %s is up", started)
	return r, nil
}

// Open attaches to a region that is up.
func Open(name string) (*Region, error) {
	if name == "" {
		name = "region"
	}
	text, err := os.ReadFile(filepath.Join(regionDir(name), "region.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("region %s is not up: start it with labctl up -name %s", name, name)
	}
	if err != nil {
		return nil, err
	}
	var spec Spec
	if err := json.Unmarshal(text, &spec); err != nil {
		return nil, fmt.Errorf("region %s: its region.json: %w", name, err)
	}
	spec.Log = os.Stderr
	r := newRegion(spec)
	return r, nil
}

// Regions names the regions that are up, or have left something behind.
func Regions() []string {
	names := regionsWithNetwork()
	for _, pattern := range append(cgroupDirs("*"), regionDir("*")) {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				names = append(names, filepath.Base(path))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func newRegion(spec Spec) *Region {
	r := &Region{spec: spec}
	for _, h := range spec.hosts() {
		r.hosts = append(r.hosts, &Host{region: r, spec: h})
	}
	return r
}

// Name is the region's name.
func (r *Region) Name() string { return r.spec.Name }

// Spec is what the region was built from, with defaults filled in.
func (r *Region) Spec() Spec { return r.spec }

// Hosts lists all hosts: firstbox, servers, pools of their own, arbiters.
func (r *Region) Hosts() []*Host { return slices.Clone(r.hosts) }

// Servers lists the hosts with PostgreSQL; the first of them starts as the master.
func (r *Region) Servers() []*Host { return r.where(func(h hostSpec) bool { return h.server }) }

// Pools lists the hosts with pgpool-II.
func (r *Region) Pools() []*Host { return r.where(func(h hostSpec) bool { return h.pool }) }

// Arbiters lists the hosts of the global zone.
func (r *Region) Arbiters() []*Host { return r.where(func(h hostSpec) bool { return h.arbiter }) }

// Firstbox is the operators' host.
func (r *Region) Firstbox() *Host { return r.Host(firstbox) }

// Host returns the host of that name, nil when the region has none.
func (r *Region) Host(name string) *Host {
	for _, h := range r.hosts {
		if h.spec.name == name {
			return h
		}
	}
	return nil
}

func (r *Region) where(is func(hostSpec) bool) []*Host {
	var hosts []*Host
	for _, h := range r.hosts {
		if is(h.spec) {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// findImages makes sure that the images are there and reads the users from them.
func (r *Region) findImages(ctx context.Context) error {
	base, err := EnsureImage(ctx, r.spec.Log)
	if err != nil {
		return err
	}
	r.image = []string{base}
	if r.spec.Postgres == "10" {
		tree, err := ensurePostgres10(ctx, r.spec.Log)
		if err != nil {
			return err
		}
		r.image = []string{tree, base}
	}
	r.ids, err = imageUsers(base)
	return err
}

func (r *Region) build(ctx context.Context) error {
	raiseLimits()
	started := time.Now()
	if err := takeDown(ctx, r.Name()); err != nil {
		return fmt.Errorf("clear what was left: %w", err)
	}
	if err := r.mountDisks(ctx); err != nil {
		return err
	}
	if err := createNetwork(ctx, r.Name()); err != nil {
		return err
	}
	r.say("disks and network", started)

	started = time.Now()
	if err := r.configureHosts(ctx); err != nil {
		return err
	}
	if err := r.createCluster(ctx); err != nil {
		return err
	}
	r.say("cluster and configuration", started)

	started = time.Now()
	if err := r.bootAll(ctx); err != nil {
		return err
	}
	r.say(fmt.Sprintf("%d hosts booted", len(r.hosts)), started)

	started = time.Now()
	if err := r.waitWorking(ctx); err != nil {
		return err
	}
	r.say("replication and pools work", started)
	return nil
}

// say prints one line about a finished stage.
func (r *Region) say(what string, started time.Time) {
	if strings.Contains(what, "%s") {
		what = fmt.Sprintf(what, r.Name())
	}
	fmt.Fprintf(r.spec.Log, "lab: %-28s %6.1fs\n", what, time.Since(started).Seconds())
}

// mountDisks gives every host its disk: all of the region lies on one tmpfs, so it
// works where the machine's own root is an overlay.
func (r *Region) mountDisks(ctx context.Context) error {
	dir := regionDir(r.Name())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount %s: %w", dir, err)
	}
	text, err := json.MarshalIndent(r.spec, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "region.json"), text, 0o644); err != nil {
		return err
	}
	for _, h := range r.hosts {
		if err := r.mountDisk(h.spec); err != nil {
			return fmt.Errorf("%s: disk: %w", h.Name(), err)
		}
	}
	return ctx.Err()
}

func (r *Region) mountDisk(h hostSpec) error {
	dirs := dirsOf(r.Name(), h.name)
	for _, dir := range []string{dirs.upper, dirs.work, dirs.root, dirs.data} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", strings.Join(r.image, ":"), dirs.upper, dirs.work)
	if err := syscall.Mount("overlay", dirs.root, "overlay", 0, options); err != nil {
		return fmt.Errorf("overlay: %w", err)
	}
	if !h.server {
		return nil
	}
	id := r.ids[postgresUser]
	options = fmt.Sprintf("mode=755,uid=%d,gid=%d,size=%d", id[0], id[1], r.spec.DataBytes)
	if err := syscall.Mount("tmpfs", dirs.data, "tmpfs", 0, options); err != nil {
		return fmt.Errorf("data file system: %w", err)
	}
	return os.MkdirAll(filepath.Join(dirs.root, r.spec.flavour().dataFS), 0o755)
}

func (r *Region) bootAll(ctx context.Context) error {
	return r.each(r.hosts, func(h *Host) error { return h.Boot(ctx) })
}

// waitWorking returns when the region does what it is for.
func (r *Region) waitWorking(ctx context.Context) error {
	standbys, state := len(r.Servers())-1, "sync"
	if r.spec.PG9 {
		state = "async"
	}
	err := waitFor(ctx, fmt.Sprintf("%d standbys that stream, %s", standbys, state), bootLimit, func(ctx context.Context) error {
		out, err := r.Host(master).PSQL(ctx, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = '"+state+"'")
		if err == nil && out != fmt.Sprint(standbys) {
			err = fmt.Errorf("%s of %d are", out, standbys)
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.each(r.Pools(), func(h *Host) error {
		return waitFor(ctx, h.Name()+": a write through its pool", bootLimit, func(ctx context.Context) error {
			_, err := r.AppSQL(ctx, h, "CREATE TEMPORARY TABLE written (); DROP TABLE written")
			return err
		})
	})
}

// AppSQL runs SQL as the application does: from firstbox, with the password, through
// the pool on that host.
func (r *Region) AppSQL(ctx context.Context, pool *Host, sql string) (string, error) {
	return r.Firstbox().Run(ctx, "env", "PGPASSWORD="+AppPassword, "PGCONNECT_TIMEOUT=5", psqlPath,
		"-XAtq", "-v", "ON_ERROR_STOP=1", "-h", pool.Name(), "-p", "9999", "-U", "app", "-d", "app", "-c", sql)
}

// each runs step on the hosts at once and joins the errors.
func (r *Region) each(hosts []*Host, step func(*Host) error) error {
	errs := make([]error, len(hosts))
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() { errs[i] = step(h) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
