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
		_, err := from.Run(t.Context(), "ping", "-c", "1", "-W", "1", to.Addr())
		return err
	}
	healthy := func(t *testing.T) {
		t.Helper()
		ok(t, r.waitWorking(t.Context()))
	}

	t.Run("cut and heal", func(t *testing.T) {
		ok(t, db2.Cut(t.Context()))
		fails(t, "ping a host that is cut off", ping(box, db2))
		get(db2.PSQL(t.Context(), "SELECT 1")) // itself it is well
		ok(t, db2.Heal(t.Context()))
		ok(t, ping(box, db2))
		healthy(t)
	})
	t.Run("cut one way", func(t *testing.T) {
		got := must[string](t)
		// What db2 hears can only be seen with packets that want no answer.
		const listen = `nohup perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 7000, Proto => "udp"); while ($s->recv($m, 9)) { open F, ">>", "/tmp/heard"; print F "$m\n"; close F }' >/dev/null 2>&1 &`
		for _, h := range []*Host{db1, db2} {
			got(h.Shell(t.Context(), listen))
		}
		hears := func(from, to *Host, word string) bool {
			return waitFor(t.Context(), "the word", time.Second, func(ctx context.Context) error {
				got(from.Shell(ctx, fmt.Sprintf("echo -n %s >/dev/udp/%s/7000", word, to.Addr())))
				_, err := to.Run(ctx, "grep", "-q", word, "/tmp/heard")
				return err
			}) == nil
		}
		ok(t, db1.CutFrom(t.Context(), db2))
		if hears(db1, db2, "a") {
			t.Error("db2 hears db1, from which it is cut off")
		}
		if !hears(db2, db1, "b") {
			t.Error("the other direction is cut too")
		}
		ok(t, ping(box, db1))
		ok(t, ping(box, db2))
		ok(t, db1.Heal(t.Context()))
		if !hears(db1, db2, "c") {
			t.Error("healed, and db2 does not hear db1")
		}
		healthy(t)
	})
	t.Run("kill a service", func(t *testing.T) {
		ok(t, db1.KillService(t.Context(), "pgpool2"))
		_, err := r.AppSQL(t.Context(), db1, "SELECT 1")
		fails(t, "SQL through a dead pool", err)
		ok(t, db1.Start(t.Context(), "pgpool2"))
		ok(t, db1.KillService(t.Context(), "postgresql"))
		_, err = db1.PSQL(t.Context(), "SELECT 1")
		fails(t, "SQL on a dead server", err)
		fails(t, "kill of what is dead", db1.KillService(t.Context(), "postgresql"))
		ok(t, db1.Start(t.Context(), "postgresql"))
		healthy(t)
	})
	t.Run("power failure and boot", func(t *testing.T) {
		table := "CREATE TABLE kept AS SELECT 1 AS one"
		get(r.AppSQL(t.Context(), db1, table))
		ok(t, db1.Kill(t.Context()))
		if _, err := db1.Exec(t.Context(), "true"); err == nil {
			t.Error("a dead host runs commands")
		}
		fails(t, "ping a dead host", ping(box, db1))
		get(db2.PSQL(t.Context(), "SELECT 1")) // its neighbours live
		started := time.Now()
		ok(t, db1.Boot(t.Context()))
		t.Logf("boot: %s", elapsed(started))
		fails(t, "boot of a host that is up", db1.Boot(t.Context()))
		healthy(t)
		if rows := get(r.AppSQL(t.Context(), db2, "SELECT one FROM kept")); rows != "1" {
			t.Errorf("the data is %q after a power failure", rows)
		}
	})
	t.Run("freeze the postmaster", func(t *testing.T) {
		ok(t, db1.Freeze(Postmaster))
		_, err := db1.PSQL(short(t), "SELECT 1")
		fails(t, "a new session at a frozen postmaster", err)
		if n := get(db1.Shell(t.Context(), "ps -C postgres -o stat= | grep -c T")); n != "1" {
			t.Errorf("%s processes are stopped, want the postmaster alone", n)
		}
		ok(t, db1.Thaw(Postmaster))
		healthy(t)
	})
	t.Run("freeze by command line", func(t *testing.T) {
		ok(t, db2.Freeze("walreceiver"))
		_, err := r.AppSQL(short(t), db1, "CREATE TABLE hangs ()")
		fails(t, "a write without its synchronous standby", err)
		ok(t, db2.Thaw("walreceiver"))
		healthy(t)
		fails(t, "freeze of nothing", db2.Freeze("no such process"))
	})
	t.Run("freeze a host", func(t *testing.T) {
		ok(t, db2.Freeze(Everything))
		_, err := box.Run(short(t), "ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=2", "db2", "true")
		fails(t, "ssh to a frozen host", err)
		ok(t, db2.Thaw(Everything))
		healthy(t)
	})
	t.Run("full disk", func(t *testing.T) {
		ok(t, db1.FillDisk())
		_, err := r.AppSQL(t.Context(), db1, "CREATE TABLE big AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
		fails(t, "a write on a full disk", err)
		get(db2.Shell(t.Context(), "dd if=/dev/zero of=/tmp/other bs=1M count=1 2>&1"))
		get(db1.Shell(t.Context(), "echo room >/root/elsewhere")) // only the data directory is full
		ok(t, db1.FreeDisk())
		if !db1.Running() {
			t.Fatal("the host died of it")
		}
		ok(t, db1.WaitPostgres(t.Context(), bootLimit))
		healthy(t)
	})
	t.Run("names", func(t *testing.T) {
		ok(t, db2.BreakNames())
		_, err := db2.Run(t.Context(), "getent", "hosts", "db1")
		fails(t, "a name that is lost", err)
		ok(t, ping(db2, db1))
		get(box.Run(t.Context(), "getent", "hosts", "db1"))
		ok(t, db2.MendNames())
		if got := get(db2.Run(t.Context(), "getent", "hosts", "db1")); !strings.HasPrefix(got, db1.Addr()) {
			t.Errorf("db1 is %q", got)
		}
		healthy(t)
	})
	assertWorks(t, r)
}
