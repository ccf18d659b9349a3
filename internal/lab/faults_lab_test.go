//go:build lab

package lab

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestLabFaults makes each fault, sees that it does what it says and nothing else,
// undoes it, and sees that the region works again.
func TestLabFaults(t *testing.T) {
	r := up(t, Spec{Name: "test-faults", DataBytes: 320 << 20})
	db1, db2 := r.Host("db1"), r.Host("db2")
	box := r.Firstbox()
	get := must[string](t)
	ping := func(from, to *Host) error {
		_, err := from.Run(within(t), "ping", "-c", "1", "-W", "1", to.Addr())
		return err
	}
	step := func(name string, run func(*testing.T)) { // a fault that is not undone spoils what follows
		t.Helper()
		if !t.Run(name, run) {
			t.FailNow()
		}
	}
	healthy := func(t *testing.T) {
		t.Helper()
		ok(t, r.waitWorking(within(t)))
	}

	step("cut and heal", func(t *testing.T) {
		ok(t, db2.Cut(within(t)))
		fails(t, "ping a host that is cut off", ping(box, db2))
		get(db2.PSQL(within(t), "SELECT 1")) // itself it is well
		ok(t, db2.Heal(within(t)))
		ok(t, ping(box, db2))
		healthy(t)
	})
	step("cut one way", func(t *testing.T) {
		got := must[string](t)
		// What db2 hears can only be seen with packets that want no answer.
		const listen = `nohup perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 7000, Proto => "udp"); while ($s->recv($m, 9)) { open F, ">>", "/tmp/heard"; print F "$m\n"; close F }' >/dev/null 2>&1 &`
		for _, h := range []*Host{db1, db2} {
			got(h.Shell(within(t), listen))
		}
		hears := func(from, to *Host, word string) bool {
			return waitFor(within(t), "the word", time.Second, func(ctx context.Context) error {
				_, _ = from.Shell(ctx, fmt.Sprintf("echo -n %s >/dev/udp/%s/7000", word, to.Addr()))
				_, err := to.Run(ctx, "grep", "-q", word, "/tmp/heard")
				return err
			}) == nil
		}
		ok(t, db1.CutFrom(within(t), db2))
		if hears(db1, db2, "a") {
			t.Error("db2 hears db1, from which it is cut off")
		}
		if !hears(db2, db1, "b") {
			t.Error("the other direction is cut too")
		}
		ok(t, ping(box, db1))
		ok(t, ping(box, db2))
		ok(t, db1.Heal(within(t)))
		if !hears(db1, db2, "c") {
			t.Error("healed, and db2 does not hear db1")
		}
		healthy(t)
	})
	step("kill a service", func(t *testing.T) {
		ok(t, db1.KillService(within(t), "pgpool2"))
		_, err := r.AppSQL(within(t), db1, "SELECT 1")
		fails(t, "SQL through a dead pool", err)
		ok(t, db1.Start(within(t), "pgpool2"))
		ok(t, db1.KillService(within(t), "postgresql"))
		_, err = db1.PSQL(within(t), "SELECT 1")
		fails(t, "SQL on a dead server", err)
		fails(t, "kill of what is dead", db1.KillService(within(t), "postgresql"))
		ok(t, db1.Start(within(t), "postgresql"))
		healthy(t)
	})
	step("power failure and boot", func(t *testing.T) {
		table := "CREATE TABLE kept AS SELECT 1 AS one"
		get(r.AppSQL(within(t), db1, table))
		ok(t, db1.Kill(within(t)))
		if _, err := db1.Exec(within(t), "true"); err == nil {
			t.Error("a dead host runs commands")
		}
		fails(t, "ping a dead host", ping(box, db1))
		get(db2.PSQL(within(t), "SELECT 1")) // its neighbours live
		started := time.Now()
		ok(t, db1.Boot(within(t)))
		t.Logf("boot: %s", elapsed(started))
		fails(t, "boot of a host that is up", db1.Boot(within(t)))
		healthy(t)
		if rows := get(r.AppSQL(within(t), db2, "SELECT one FROM kept")); rows != "1" {
			t.Errorf("the data is %q after a power failure", rows)
		}
	})
	step("freeze the postmaster", func(t *testing.T) {
		ok(t, db1.Freeze(Postmaster))
		_, err := db1.PSQL(short(t), "SELECT 1")
		fails(t, "a new session at a frozen postmaster", err)
		if n := get(db1.Shell(within(t), "ps -C postgres -o stat= | grep -c T")); n != "1" {
			t.Errorf("%s processes are stopped, want the postmaster alone", n)
		}
		ok(t, db1.Thaw(Postmaster))
		healthy(t)
	})
	step("freeze by command line", func(t *testing.T) {
		ok(t, db2.Freeze("walreceiver"))
		_, err := r.AppSQL(short(t), db1, "CREATE TABLE hangs ()")
		fails(t, "a write without its synchronous standby", err)
		ok(t, db2.Thaw("walreceiver"))
		healthy(t)
		fails(t, "freeze of nothing", db2.Freeze("no such process"))
	})
	step("freeze a host", func(t *testing.T) {
		ok(t, db2.Freeze(Everything))
		_, err := box.Run(short(t), "ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=2", "db2", "true")
		fails(t, "ssh to a frozen host", err)
		ok(t, db2.Thaw(Everything))
		healthy(t)
	})
	step("full disk", func(t *testing.T) {
		ok(t, db1.FillDisk())
		_, err := r.AppSQL(within(t), db1, "CREATE TABLE big AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
		fails(t, "a write on a full disk", err)
		get(db2.Shell(within(t), "dd if=/dev/zero of=/tmp/other bs=1M count=1 2>&1"))
		get(db1.Shell(within(t), "echo room >/root/elsewhere")) // only the data directory is full
		ok(t, db1.FreeDisk())
		if !db1.Running() {
			t.Fatal("the host died of it")
		}
		ok(t, db1.WaitPostgres(within(t), bootLimit))
		healthy(t)
	})
	step("names", func(t *testing.T) {
		ok(t, db2.BreakNames())
		_, err := db2.Run(within(t), "getent", "hosts", "db1")
		fails(t, "a name that is lost", err)
		ok(t, ping(db2, db1))
		get(box.Run(within(t), "getent", "hosts", "db1"))
		ok(t, db2.MendNames())
		if got := get(db2.Run(within(t), "getent", "hosts", "db1")); !strings.HasPrefix(got, db1.Addr()) {
			t.Errorf("db1 is %q", got)
		}
		healthy(t)
	})
	assertWorks(t, r)
}
