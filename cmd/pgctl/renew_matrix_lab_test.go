//go:build lab

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/internal/lab"
	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// TestMatrixRenew10: PostgreSQL 10 has no pg_rewind there, and another version's pg_basebackup.
func TestMatrixRenew10(t *testing.T) {
	s := newRenewals(t, lab.Spec{Postgres: "10"})
	db1, db2 := s.r.Host("db1"), s.r.Host("db2")
	alone(t, db1)
	big(t, db1)
	tools, err := s.on(db2).Tools(t.Context(), db2.DataDir())
	if err != nil || tools.Rewind || tools.BaseBackup != "/usr/lib/postgresql/15/bin/pg_basebackup" || tools.Version != "10.23" {
		t.Errorf("tools %+v, %v", tools, err)
	}
	t.Run("clone", func(t *testing.T) {
		must(t, db2.Stop(t.Context(), "postgresql"))
		shell(t, db2, "echo \"work_mem = 7MB\" >> /opt/postgresql/data/postgresql.conf")
		s := s.in(t)
		s.renewed(db2, db1, s.renewal(db2, db1, postgres.MethodClone), postgres.MethodClone)
		if got := psql(t, db2, "SHOW work_mem"); got != "7MB" {
			t.Errorf("work_mem %s: the host's own postgresql.conf was lost", got)
		}
	})
	t.Run("connection lost in the middle of the copy", func(t *testing.T) { s.in(t).brokenOff(db2, db1) })
	t.Run("killed between the renames", func(t *testing.T) { s.in(t).betweenRenames(db2, db1) })
	t.Run("rewind becomes a clone", func(t *testing.T) {
		s := s.in(t)
		shell(t, db2, "setpriv --reuid=postgres --regid=postgres --init-groups /opt/postgresql/bin/pg_ctl promote -w -s -D /opt/postgresql/data")
		alone(t, db2)
		write(t, db2, 5000, 6000)
		must(t, db1.KillService(t.Context(), "postgresql"))
		shell(t, db1, "systemctl stop postgresql; true")
		r := s.renewal(db1, db2, postgres.MethodRewind)
		s.fork(&r, db2)
		s.renewed(db1, db2, r, postgres.MethodClone)
	})
}

// TestMatrixRenew: what can be in the way.
func TestMatrixRenew(t *testing.T) {
	s := newRenewals(t, lab.Spec{})
	db1, db2 := s.r.Host("db1"), s.r.Host("db2")
	alone(t, db1)
	big(t, db1)
	for _, story := range []struct {
		name string
		run  func(*renewals, *lab.Host, *lab.Host)
	}{
		{"no old data", (*renewals).nothingThere},
		{"connection lost in the middle of the copy", (*renewals).brokenOff},
		{"the runner killed, pg_basebackup left over", (*renewals).leftOver},
		{"killed between the renames", (*renewals).betweenRenames},
		{"disk full in the middle of the copy", (*renewals).diskFull},
		{"tablespaces, and the WAL elsewhere", (*renewals).outside},
		{"space reused", (*renewals).reused},
		{"mount point", (*renewals).mounted},
	} {
		if !t.Run(story.name, func(t *testing.T) { story.run(s.in(t), db2, db1) }) {
			return // the next story begins with a standby that works
		}
	}
}

// TestMatrixRenewRewind: a rewind after a crash, and one that a loss of power breaks off.
func TestMatrixRenewRewind(t *testing.T) {
	s := newRenewals(t, lab.Spec{})
	db1, db2 := s.r.Host("db1"), s.r.Host("db2")
	alone(t, db1)
	write(t, db1, 1, 1000)
	t.Run("after kill -9", func(t *testing.T) {
		s.in(t).rewound(db1, db2, func() {
			must(t, db1.KillService(t.Context(), "postgresql"))
			shell(t, db1, "systemctl stop postgresql@15-main; true")
		})
	})
	t.Run("a standby that is ahead, after kill -9", func(t *testing.T) {
		s := s.in(t)
		psql(t, db1, "SELECT pg_promote()")
		alone(t, db1)
		write(t, db1, 50001, 51000)
		write(t, db2, 60001, 61000)
		must(t, db2.KillService(t.Context(), "postgresql"))
		shell(t, db2, "systemctl stop postgresql@15-main; true; runuser -u postgres touch "+db2.DataDir()+"/standby.signal")
		r := s.renewal(db2, db1, postgres.MethodRewind)
		s.fork(&r, db1)
		s.renewed(db2, db1, r, postgres.MethodRewind)
	})
	t.Run("two promoted to one timeline", func(t *testing.T) { s.in(t).twins(db1, db2) })
	t.Run("loss of power", func(t *testing.T) { s.in(t).powerLost(db2, db1) })
}

// big makes the database large enough for a copy of it to be caught in the middle.
func big(t *testing.T, h *lab.Host) {
	t.Helper()
	write(t, h, 1, 1000)
	psql(t, h, "SET synchronous_commit = local; CREATE TABLE big (x text); ALTER TABLE big ALTER x SET STORAGE EXTERNAL; "+
		"INSERT INTO big SELECT repeat(md5(n::text), 3000) FROM generate_series(1, 1200) n; CHECKPOINT")
}

func (s *renewals) nothingThere(db2, db1 *lab.Host) {
	for _, make := range []string{"rm -rf ", "rm -rf /var/lib/postgresql/15/main/* "} {
		must(s.T, db2.Stop(s.Context(), "postgresql"))
		shell(s.T, db2, make+db2.DataDir())
		if strings.Contains(make, "*") {
			shell(s.T, db2, "install -d -m 755 "+db2.DataDir())
		}
		s.renewed(db2, db1, s.renewal(db2, db1, postgres.MethodClone), postgres.MethodClone)
		if mode := shell(s.T, db2, "stat -c '%a %U' "+db2.DataDir()); mode != "700 postgres" {
			s.Errorf("mode and owner %s", mode)
		}
		if found := s.asides(db2); len(found) != 0 {
			s.Errorf("set aside from nothing: %+v", found)
		}
	}
}

// during renews and does something at the first sign of progress.
func (s *renewals) during(ctx context.Context, host, master *lab.Host, r postgres.Renewal, what func()) error {
	done := false
	_, err := s.on(host).Renew(ctx, r, s.on(master), func(p postgres.Progress) {
		if !done && p.Note == "" {
			done = true
			what()
		}
	})
	if !done {
		s.Fatalf("no progress was told: %v", err)
	}
	return err
}

func (s *renewals) brokenOff(db2, db1 *lab.Host) {
	must(s.T, db2.Stop(s.Context(), "postgresql"))
	before := s.tree(db2)
	ctx, cancel := context.WithCancel(s.Context())
	r := s.renewal(db2, db1, postgres.MethodClone)
	if err := s.during(ctx, db2, db1, r, cancel); !errors.Is(err, context.Canceled) {
		s.Fatalf("expected it to be broken off: %v", err)
	}
	for range 100 {
		if shell(s.T, db2, "pgrep -c -x pg_basebackup; true") == "0" {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if n := shell(s.T, db2, "pgrep -c -x pg_basebackup; true"); n != "0" {
		s.Errorf("%s pg_basebackup are still running without anybody who asked", n)
	}
	if after := s.tree(db2); after != before {
		s.Errorf("the old data was changed")
	}
	s.renewed(db2, db1, s.renewal(db2, db1, postgres.MethodClone), postgres.MethodClone)
	s.removeAsides(db2)
}

// tree is a fingerprint of the data directory.
func (s *renewals) tree(h *lab.Host) string {
	s.Helper()
	return shell(s.T, h, "cd "+h.DataDir()+" && find . -type f -print0 | sort -z | xargs -0 md5sum | md5sum; find . -printf '%p %m %U %l\n' | sort | md5sum")
}

func (s *renewals) removeAsides(h *lab.Host) {
	s.Helper()
	for _, aside := range s.asides(h) {
		must(s.T, s.on(h).RemoveAside(s.Context(), h.DataDir(), aside.Path))
	}
	if left := s.asides(h); len(left) != 0 {
		s.Errorf("still aside: %+v", left)
	}
}

// leftOver: everything of pgctl's is killed on the host, and pg_basebackup alone is left. It is ended before anything else begins.
// While the runner is there too, nobody else may begin.
func (s *renewals) leftOver(db2, db1 *lab.Host) {
	must(s.T, db2.Stop(s.Context(), "postgresql"))
	err := s.during(s.Context(), db2, db1, s.renewal(db2, db1, postgres.MethodClone), func() {
		shell(s.T, db2, "pkill -STOP -x pg_basebackup")
		_, err := s.on(db2).Renew(s.Context(), s.renewal(db2, db1, postgres.MethodClone), s.on(db1), func(postgres.Progress) {})
		var refusal *cluster.Refusal
		if !errors.As(err, &refusal) || !strings.Contains(err.Error(), "another renewal of /var/lib/postgresql/15/main is running") {
			s.Errorf("beside another renewal: %v", err)
		}
		shell(s.T, db2, "pkill -9 -x perl; pkill -9 -f 'half a [c]opy'; true")
	})
	if err == nil {
		s.Fatal("it went on without its runner")
	}
	shell(s.T, db2, "pkill -CONT -x pg_basebackup; sleep 3; pgrep -x pg_basebackup") // what receives the WAL stays
	s.renewed(db2, db1, s.renewal(db2, db1, postgres.MethodClone), postgres.MethodClone)
	s.removeAsides(db2)
}

// betweenRenames: the old data has its new name, the copy has not.
func (s *renewals) betweenRenames(db2, db1 *lab.Host) {
	must(s.T, db2.Stop(s.Context(), "postgresql"))
	r := s.renewal(db2, db1, postgres.MethodClone)
	if _, err := s.renew(s.Context(), db2, db1, r); err != nil {
		s.Fatal(err)
	}
	shell(s.T, db2, fmt.Sprintf("mv %[1]s %[1]s.pgctl-new", db2.DataDir()))
	doc, code := overviewOf(s.T, s.r)
	if code != exitUnhealthy || finding(doc, "postgres-down", "db2").Message == "" || value(doc.Servers[1].DataDir) != db2.DataDir() {
		s.Errorf("overview of a server without its data directory: %s", describeFindings(doc))
	}
	s.renewed(db2, db1, s.renewal(db2, db1, postgres.MethodClone), postgres.MethodClone)
	if s.seen != 0 {
		s.Error("it copied again what was complete")
	}
	if found := s.asides(db2); len(found) != 1 || !strings.HasSuffix(found[0].Path, r.Stamp) {
		s.Errorf("set aside: %+v", found)
	}
	s.removeAsides(db2)
}

func (s *renewals) diskFull(db2, db1 *lab.Host) {
	must(s.T, db2.Stop(s.Context(), "postgresql"))
	before := s.tree(db2)
	err := s.during(s.Context(), db2, db1, s.renewal(db2, db1, postgres.MethodClone), func() { must(s.T, db2.FillDisk()) })
	if err == nil || !strings.Contains(err.Error(), "No space left on device") {
		s.Errorf("a full disk: %v", err)
	}
	if left := shell(s.T, db2, "ls /var/lib/postgresql/15"); left != "filler.lab\nmain\nmain.pgctl-lock" && left != "filler.lab\nmain\nmain.pgctl-conf\nmain.pgctl-lock" {
		s.Errorf("left: %s", left)
	}
	if after := s.tree(db2); after != before {
		s.Error("the old data was changed")
	}
	_, err = s.renew(s.Context(), db2, db1, s.renewal(db2, db1, postgres.MethodClone))
	var refusal *cluster.Refusal
	if !errors.As(err, &refusal) || !strings.Contains(err.Error(), "a copy of the master takes ") || !strings.Contains(refusal.Risks[0].Hint, "--reuse-space") {
		s.Errorf("without room: %v", err)
	}
	must(s.T, db2.FreeDisk())
	must(s.T, db2.Start(s.Context(), "postgresql")) // the old data still works
	s.follow(db2, db1)
}

func (s *renewals) outside(db2, db1 *lab.Host) {
	for _, h := range []*lab.Host{db1, db2} {
		shell(s.T, h, "install -d -o postgres -g postgres -m 700 '/var/lib/postgresql/15/t =s'")
	}
	psql(s.T, db1, "CREATE TABLESPACE ts LOCATION '/var/lib/postgresql/15/t =s'")
	psql(s.T, db1, "SET synchronous_commit = local; CREATE TABLE spaced TABLESPACE ts AS SELECT generate_series(1, 500) n")
	s.follow(db2, db1)
	must(s.T, db2.Stop(s.Context(), "postgresql"))
	shell(s.T, db2, "cd /var/lib/postgresql/15 && mv main/pg_wal wal && ln -s /var/lib/postgresql/15/wal main/pg_wal && chown -h postgres: main/pg_wal")
	r := s.renewal(db2, db1, postgres.MethodClone)
	s.renewed(db2, db1, r, postgres.MethodClone)
	if got := psql(s.T, db2, "SELECT count(*) FROM spaced"); got != "500" {
		s.Errorf("the tablespace has %s rows", got)
	}
	links := shell(s.T, db2, "cd /var/lib/postgresql/15; readlink main/pg_tblspc/* main/pg_wal main.pgctl-"+r.Stamp+"/pg_tblspc/* main.pgctl-"+r.Stamp+"/pg_wal; ls 't =s'; ls wal | grep -v '^0'")
	want := strings.ReplaceAll("/var/lib/postgresql/15/t =s\n/var/lib/postgresql/15/wal\n/var/lib/postgresql/15/t =s/pgctl-STAMP\n/var/lib/postgresql/15/wal/pgctl-STAMP\nPG_15_202209061\npgctl-STAMP\narchive_status\npgctl-STAMP", "STAMP", r.Stamp)
	if links != want {
		s.Errorf("links and places:\n%s\nexpected\n%s", links, want)
	}
	s.removeAsides(db2)
	if left := shell(s.T, db2, "cd /var/lib/postgresql/15; ls; ls 't =s'; ls wal | grep -v '^0'"); left != "main\nmain.pgctl-lock\nt =s\nwal\nPG_15_202209061\narchive_status" {
		s.Errorf("after the removal: %s", left)
	}
	psql(s.T, db1, "DROP TABLE spaced")
	s.follow(db2, db1)
	psql(s.T, db1, "DROP TABLESPACE ts")
	s.follow(db2, db1)
	must(s.T, db2.Stop(s.Context(), "postgresql"))
	shell(s.T, db2, "cd /var/lib/postgresql/15 && rm main/pg_wal && mv wal main/pg_wal && rm -rf 't =s'")
	must(s.T, db2.Start(s.Context(), "postgresql"))
	s.follow(db2, db1)
}

func (s *renewals) reused(db2, db1 *lab.Host) {
	must(s.T, db2.Stop(s.Context(), "postgresql"))
	shell(s.T, db2, "echo 'work_mem = 9MB' > /var/lib/postgresql/15/main/own.conf")
	r := s.renewal(db2, db1, postgres.MethodClone)
	r.ReuseSpace = true
	ctx, cancel := context.WithCancel(s.Context())
	if err := s.during(ctx, db2, db1, r, cancel); !errors.Is(err, context.Canceled) {
		s.Fatalf("expected it to be broken off: %v", err)
	}
	r = s.renewal(db2, db1, postgres.MethodClone)
	r.ReuseSpace = true
	for range 100 { // until what was broken off has ended
		if _, err := s.on(db2).Needs(s.Context(), s.on(db1), db2.DataDir()); err == nil && shell(s.T, db2, "pgrep -c -x pg_basebackup; true") == "0" {
			break
		}
	}
	s.renewed(db2, db1, r, postgres.MethodClone)
	if got := shell(s.T, db2, "cat /var/lib/postgresql/15/main/own.conf"); got != "work_mem = 9MB" {
		s.Errorf("the host's own configuration: %s", got)
	}
	if found := s.asides(db2); len(found) != 0 {
		s.Errorf("set aside, though its space was to be reused: %+v", found)
	}
}

func (s *renewals) mounted(db2, db1 *lab.Host) {
	must(s.T, db2.Stop(s.Context(), "postgresql"))
	shell(s.T, db2, "cd /var/lib/postgresql/15 && mv main was && install -d main && mount -t tmpfs tmpfs main && cp -a was/. main/ && rm -rf was && echo 'work_mem = 8MB' > main/own.conf")
	before := s.tree(db2)
	r := s.renewal(db2, db1, postgres.MethodClone)
	_, err := s.renew(s.Context(), db2, db1, r)
	var refusal *cluster.Refusal
	if !errors.As(err, &refusal) || !strings.Contains(err.Error(), "mount point") || !strings.Contains(refusal.Risks[0].Hint, "--reuse-space") {
		s.Errorf("a mount point: %v", err)
	}
	if after := s.tree(db2); after != before {
		s.Error("a refusal changed something")
	}
	r.ReuseSpace = true
	s.renewed(db2, db1, r, postgres.MethodClone)
	if got := shell(s.T, db2, "cat /var/lib/postgresql/15/main/own.conf; stat -c '%a %U' /var/lib/postgresql/15/main"); got != "work_mem = 8MB\n700 postgres" {
		s.Errorf("got %s", got)
	}
}

// powerLost: the host dies in the middle of pg_rewind. It comes back without PostgreSQL, and is cloned then.
func (s *renewals) powerLost(old, master *lab.Host) {
	psql(s.T, master, "SELECT count(*) FROM told") // it follows the old one
	must(s.T, old.Stop(s.Context(), "postgresql"))
	psql(s.T, master, "SELECT pg_promote()")
	alone(s.T, master)
	big(s.T, master)
	shell(s.T, old, "rm -f "+old.DataDir()+"/standby.signal")
	must(s.T, old.Start(s.Context(), "postgresql"))
	write(s.T, old, 70001, 71000)
	must(s.T, old.Stop(s.Context(), "postgresql"))
	r := s.renewal(old, master, postgres.MethodRewind)
	s.fork(&r, master)
	err := s.during(s.Context(), old, master, r, func() {
		shell(s.T, old, "pkill -STOP -x pg_rewind")
		must(s.T, old.Kill(s.Context()))
	})
	if err == nil {
		s.Fatal("it went on without its host")
	}
	booting, cancel := context.WithTimeout(s.Context(), 30*time.Second)
	defer cancel()
	if err := old.Boot(booting); err == nil || !strings.Contains(err.Error(), old.Name()+": PostgreSQL") {
		s.Fatalf("expected the host to come up without PostgreSQL: %v", err)
	}
	if n := shell(s.T, old, "pgrep -c -x postgres; true"); n != "0" {
		s.Errorf("PostgreSQL runs on half rewound data: %s processes", n)
	}
	shell(s.T, old, "test -d "+old.DataDir()+".pgctl-rewinding && ! test -e "+old.DataDir())
	r = s.renewal(old, master, postgres.MethodRewind)
	s.fork(&r, master)
	s.renewed(old, master, r, postgres.MethodClone)
	if len(s.notes) != 1 || !strings.Contains(s.notes[0], "an earlier rewind broke off") {
		s.Errorf("notes %q", s.notes)
	}
	s.removeAsides(old)
}
