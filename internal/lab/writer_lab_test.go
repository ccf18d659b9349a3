//go:build lab

package lab

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

// TestLabWriter lets a writer through a pool and one that goes to the master directly live through a quiet time, an
// outage, commits that did not wait for their standby, and a failover.
func TestLabWriter(t *testing.T) {
	r := up(t, Spec{Name: cmp.Or(os.Getenv("PGCTL_LAB_REGION"), "test-writer"), Arbiters: NoArbiters})
	db1, db2 := r.Host("db1"), r.Host("db2")
	get := must[string](t)
	start := func(spec WriterSpec) *Writer {
		t.Helper()
		return must[*Writer](t)(r.StartWriter(t.Context(), spec))
	}
	stop := func(w *Writer) WriterReport {
		t.Helper()
		report := must[WriterReport](t)(w.Stop())
		t.Logf("%s: %s", w.id, report)
		if report.Attempts != report.Acknowledged+report.Failed+report.Unknown || len(report.acks) != report.Acknowledged {
			t.Errorf("the sum is wrong: %+v", report)
		}
		return report
	}
	lost := func(report WriterReport, on *Host) []int64 {
		t.Helper()
		return must[[]int64](t)(report.Lost(within(t), on))
	}
	pool := WriterSpec{Targets: []*Host{db1}}
	direct := WriterSpec{Targets: []*Host{db2, db1}, Port: db1.Port()} // db2 refuses: it is read-only

	t.Run("quiet", func(t *testing.T) {
		writers := []*Writer{start(pool), start(direct)}
		time.Sleep(3 * time.Second)
		for _, w := range writers {
			report := stop(w)
			if report.Acknowledged < 20 || report.LongestGap > time.Second || report.Unknown != 0 {
				t.Errorf("got %s", report)
			}
			if gone := lost(report, db1); len(gone) != 0 {
				t.Errorf("lost %d", gone)
			}
			n := report.acks[len(report.acks)/2]
			ok(t, deleteRow(within(t), db1, w.id, n))
			if gone := lost(report, db1); !slices.Equal(gone, []int64{n}) {
				t.Errorf("lost %d, want %d, which was deleted", gone, n)
			}
		}
	})
	t.Run("outage", func(t *testing.T) {
		writers := []*Writer{start(pool), start(direct)}
		time.Sleep(500 * time.Millisecond)
		ok(t, db1.Stop(within(t), "postgresql"))
		time.Sleep(2 * time.Second)
		back := time.Now()
		ok(t, db1.Start(within(t), "postgresql"))
		ok(t, r.waitWorking(within(t)))
		time.Sleep(500 * time.Millisecond)
		for _, w := range writers {
			report := stop(w)
			outage := func(g Gap) bool {
				return g.From.Before(back) && g.To.After(back) && g.Length() >= 2*time.Second
			}
			if !slices.ContainsFunc(report.Gaps, outage) || report.LongestGap < 2*time.Second || report.Failed+report.Unknown == 0 {
				t.Errorf("got %s, want a gap around %s", report, back)
			}
			if gone := lost(report, db1); len(gone) != 0 {
				t.Errorf("lost %d", gone)
			}
		}
	})
	t.Run("commits that did not wait for their standby", func(t *testing.T) {
		w := start(pool)
		ok(t, db2.Stop(within(t), "postgresql"))
		ok(t, waitFor(within(t), "a commit that waits", 10*time.Second, func(ctx context.Context) error {
			out, err := db1.PSQL(ctx, "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
			if err == nil && out == "0" {
				err = fmt.Errorf("no session waits")
			}
			return err
		}))
		ok(t, db2.Start(within(t), "postgresql"))
		ok(t, r.waitWorking(within(t)))
		time.Sleep(500 * time.Millisecond)
		report := stop(w)
		if report.Unknown == 0 || len(report.Gaps) == 0 {
			t.Errorf("got %s, want a commit with a warning, which counts for nothing", report)
		}
		rows := get(db1.Run(within(t), "runuser", "-u", "postgres", "--", psqlPath, "-XAtq", "-h", "/var/run/postgresql", "-d", "app",
			"-c", "SELECT count(*) FROM "+writerTable+" WHERE writer = '"+w.id+"'"))
		if rows == fmt.Sprint(report.Acknowledged) {
			t.Errorf("%s rows, as many as were acknowledged: want the one with the warning too", rows)
		}
	})
	t.Run("failover", func(t *testing.T) {
		w := start(WriterSpec{Targets: []*Host{db1, db2}, Port: db1.Port()})
		time.Sleep(500 * time.Millisecond)
		ok(t, db1.KillService(within(t), "postgresql"))
		get(db2.PSQL(within(t), "SELECT pg_promote()"))
		get(db2.PSQL(within(t), "ALTER SYSTEM SET synchronous_standby_names = ''"))
		get(db2.PSQL(within(t), "SELECT pg_reload_conf()"))
		promoted := time.Now()
		time.Sleep(time.Second)
		report := stop(w)
		if gone := lost(report, db2); len(gone) != 0 {
			t.Errorf("lost %d", gone)
		}
		if len(report.Gaps) == 0 || report.Gaps[0].To.Before(promoted.Add(-time.Second)) || w.notes.last.Before(promoted) {
			t.Errorf("got %s, the last at %s; want writes on the new master after %s", report, w.notes.last, promoted)
		}
	})
}

func deleteRow(ctx context.Context, h *Host, writer string, n int64) error {
	_, err := h.Run(ctx, "runuser", "-u", "postgres", "--", psqlPath, "-XAtq", "-h", "/var/run/postgresql", "-d", "app",
		"-c", fmt.Sprintf("DELETE FROM %s WHERE writer = '%s' AND n = %d", writerTable, writer, n))
	return err
}
