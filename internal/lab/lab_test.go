//go:build lab

package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// up builds a region for a test and takes it down after it, and fails the test when
// something is left then.
func up(t *testing.T, spec Spec) *Region {
	t.Helper()
	if err := Available(); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := Down(context.Background(), spec.Name); err != nil {
			t.Error(err)
		}
		assertNothingLeft(t, spec.Name)
	})
	region, err := Up(within(t), spec)
	if err != nil {
		t.Fatal(err)
	}
	return region
}

func assertNothingLeft(t *testing.T, name string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), regionDir(name)) {
		t.Errorf("mounts are left below %s", regionDir(name))
	}
	for _, path := range append(cgroupDirs(name), regionDir(name), "/run/netns/"+netnsName(name)) {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is left", path)
		}
	}
	// Escaped processes would show by their network namespace or their root.
	if out, _ := exec.Command("pgrep", "-f", "--", regionDir(name)+"/").Output(); len(out) > 0 {
		t.Errorf("processes are left: %s", out)
	}
}

// must returns a function's value, or ends the test.
func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func fails(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: succeeded", what)
	}
}

// within is a context for one step of a test: a step that hangs fails, and the test
// still takes its region down.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// short is a context for a command that is to fail, or to hang.
func short(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// assertWorks checks what every region promises, with commands that an operator and
// an application would use.
func assertWorks(t *testing.T, r *Region) {
	t.Helper()
	get := must[string](t)
	want := fmt.Sprint(len(r.Servers()) - 1)
	const streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'"
	if got := get(r.Host(master).PSQL(within(t), streaming)); got != want {
		t.Errorf("%s synchronous standbys, want %s", got, want)
	}
	system := get(r.Host(master).PSQL(within(t), "SELECT system_identifier FROM pg_control_system()"))
	table := fmt.Sprintf("t%d", time.Now().UnixNano())
	get(r.AppSQL(within(t), r.Pools()[0], "CREATE TABLE "+table+" (pool text)"))
	for _, pool := range r.Pools() {
		get(r.AppSQL(within(t), pool, "INSERT INTO "+table+" VALUES ('"+pool.Name()+"')"))
		nodes := get(r.AppSQL(within(t), pool, "SHOW POOL_NODES"))
		if !strings.HasPrefix(nodes, fmt.Sprintf("0|db1|%d|up", pool.Port())) || strings.Contains(nodes, "\n") {
			t.Errorf("%s sees %q, want db1 alone", pool.Name(), nodes)
		}
	}
	for _, server := range r.Servers() {
		if got := get(server.PSQL(within(t), "SELECT system_identifier FROM pg_control_system()")); got != system {
			t.Errorf("%s is of system %s, want %s", server.Name(), got, system)
		}
		count := get(server.Run(within(t), "runuser", "-u", "postgres", "--", psqlPath, "-XAtq", "-h", "/var/run/postgresql",
			"-p", fmt.Sprint(server.Port()), "-d", "app", "-c", "SELECT count(*) FROM "+table))
		if count != fmt.Sprint(len(r.Pools())) {
			t.Errorf("%s has %s rows, want %d", server.Name(), count, len(r.Pools()))
		}
		if got := get(server.ReadFile(within(t), "/pitrix/run/pg_master")); got != "db1\n" {
			t.Errorf("%s: pg_master is %q", server.Name(), got)
		}
		get(server.Run(within(t), "service", "postgresql", "status"))
	}
	assertSSH(t, r)
	assertRollOut(t, r)
}

func assertSSH(t *testing.T, r *Region) {
	t.Helper()
	for _, h := range r.Hosts() {
		for _, to := range []string{h.Name(), h.Addr()} {
			got, err := r.Firstbox().Run(within(t), "ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", to, "hostname")
			if err != nil || got != h.Name() {
				t.Errorf("ssh %s: %q, %v", to, got, err)
			}
		}
		if _, err := h.Run(within(t), "test", "-d", "/run/systemd/system"); (err == nil) != h.Systemd() {
			t.Errorf("%s: systemd there is %v, want %v", h.Name(), err == nil, h.Systemd())
		}
		if h != r.Firstbox() {
			if _, err := h.Run(within(t), "supervisorctl", "pid"); err != nil {
				t.Error(err)
			}
		}
	}
	_, err := r.Firstbox().Run(within(t), "test", "-e", "/root/.pgpass")
	fails(t, "firstbox has a .pgpass", err)
}

// assertRollOut edits one zone's file, builds and delivers, and looks at the nodes.
func assertRollOut(t *testing.T, r *Region) {
	t.Helper()
	get := must[string](t)
	const marker = "# changed by hand"
	box, zone := r.Firstbox(), r.Spec().zones()[0]
	get(box.Shell(within(t), "echo '"+marker+"' >>/pitrix/conf/variables/global/server.yaml."+zone+
		" && /pitrix/upgrade/build_global_conf.sh && /pitrix/upgrade/update.sh -f all pitrix-global-conf"))
	for _, h := range r.Hosts()[1:] {
		expect := r.Spec().zoneFileOf(h.spec) == zone
		text := get(h.ReadFile(within(t), "/pitrix/conf/global/server.yaml"))
		if strings.HasSuffix(text, marker+"\n") != expect {
			t.Errorf("%s: the changed file of %s arrived is %v, want %v", h.Name(), zone, !expect, expect)
		}
		if !strings.Contains(text, "zone_id: '"+r.Spec().zoneFileOf(h.spec)+"'") {
			t.Errorf("%s has the file of another zone", h.Name())
		}
	}
}

func TestLabDefaultRegion(t *testing.T) {
	r := up(t, Spec{Name: "test-default"})
	assertWorks(t, r)
	get := must[string](t)

	t.Run("update.sh names the node that it could not reach", func(t *testing.T) {
		ok(t, r.Host("arb2").Cut(within(t)))
		result, err := r.Firstbox().Exec(within(t), "/pitrix/upgrade/update.sh", "-f", "all", "pitrix-global-conf")
		ok(t, err)
		if result.Exit != 1 || !strings.Contains(result.Stderr, "not delivered to: arb2") {
			t.Errorf("exit %d, %s%s", result.Exit, result.Stdout, result.Stderr)
		}
		ok(t, r.Host("arb2").Heal(within(t)))
	})
	t.Run("scripts refuse what makes no sense", func(t *testing.T) {
		for script, exit := range map[string]int{
			"/pitrix/upgrade/update.sh":                      2,
			"/pitrix/upgrade/update.sh -f all nonsense":      2,
			"/pitrix/upgrade/update.sh -x all pitrix-global": 2,
			"/pitrix/upgrade/build_global_conf.sh all":       2,
			": >/pitrix/conf/variables/global/server.yaml.empty; /pitrix/upgrade/build_global_conf.sh;" +
				" code=$?; rm /pitrix/conf/variables/global/server.yaml.empty; exit $code": 1,
		} {
			result, err := r.Firstbox().Exec(within(t), "bash", "-c", script)
			ok(t, err)
			if result.Exit != exit {
				t.Errorf("%s: exit %d, want %d", script, result.Exit, exit)
			}
		}
	})
	t.Run("push replaces a program that runs", func(t *testing.T) {
		ok(t, r.Firstbox().Push(within(t), "/bin/sleep", "/usr/local/bin/busy", 0o755))
		get(r.Firstbox().Shell(within(t), "/usr/local/bin/busy 1000 >/dev/null 2>&1 &"))
		ok(t, r.Firstbox().Push(within(t), "/bin/true", "/usr/local/bin/busy", 0o755))
		get(r.Firstbox().Run(within(t), "/usr/local/bin/busy"))
	})
	t.Run("open attaches", func(t *testing.T) {
		other, err := Open("test-default")
		ok(t, err)
		if got := get(other.Host("db2").Run(within(t), "hostname")); got != "db2" {
			t.Errorf("got %q", got)
		}
		if _, err := Open("test-none"); err == nil || !strings.Contains(err.Error(), "not up") {
			t.Errorf("open of a region that is not up: %v", err)
		}
	})
	t.Run("a second region stands beside it", func(t *testing.T) {
		second := up(t, Spec{Name: "test-second", Servers: 1, Arbiters: NoArbiters})
		assertWorks(t, second)
		const ask = "SELECT system_identifier FROM pg_control_system()"
		if get(second.Host(master).PSQL(within(t), ask)) == get(r.Host(master).PSQL(within(t), ask)) {
			t.Error("two regions have one system identifier")
		}
	})
	assertWorks(t, r)
}

func TestMatrixRegions(t *testing.T) {
	for _, spec := range []Spec{
		{Name: "test-three", Servers: 3, HAOn: true},
		{Name: "test-pools", OwnPools: true},
		{Name: "test-pg10", Postgres: "10"},
		{Name: "test-sysv", NoSystemd: []string{"firstbox", "db1", "db2", "arb1"}},
		{Name: "test-pg10-sysv", Postgres: "10", Servers: 3, NoSystemd: []string{"db2"}, OwnPools: true},
	} {
		t.Run(spec.Name, func(t *testing.T) {
			r := up(t, spec)
			assertWorks(t, r)
			for _, server := range r.Servers() { // services stop and start, and a boot brings them back
				ok(t, server.Stop(within(t), "postgresql"))
				_, err := server.PSQL(within(t), "SELECT 1")
				fails(t, server.Name()+": SQL on a stopped server", err)
				ok(t, server.Start(within(t), "postgresql"))
				ok(t, server.WaitPostgres(within(t), bootLimit))
			}
			standby := r.Host("db2")
			ok(t, standby.Kill(within(t)))
			ok(t, standby.Boot(within(t)))
			ok(t, r.waitWorking(within(t)))
			assertWorks(t, r)
		})
	}
}

// TestLabLeftovers builds a region over what a killed run left: hosts running, disks
// mounted, the network half there.
func TestLabLeftovers(t *testing.T) {
	if err := Available(); err != nil {
		t.Skip(err)
	}
	const name = "test-left"
	t.Cleanup(func() { ok(t, Down(context.Background(), name)) })
	labctl := filepath.Join(t.TempDir(), "labctl")
	if out, err := exec.Command("go", "build", "-o", labctl, "./labctl").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, wait := range []time.Duration{300 * time.Millisecond, 2500 * time.Millisecond, 4 * time.Second} {
		cmd := exec.Command(labctl, "up", "-name", name)
		ok(t, cmd.Start())
		time.Sleep(wait) // not a wait for anything: the moment at which the run dies
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	r := up(t, Spec{Name: name})
	assertWorks(t, r)
}
