//go:build lab

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/internal/lab"
	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/postgres"
	"github.com/pgctl/pgctl/pkg/remote"
)

// sshHost reaches a host of a region as pgctl does: by ssh from firstbox. The end of a command's context kills the client there,
// and what runs on the host learns of it as it does when pgctl dies.
type sshHost struct {
	name     string
	firstbox *lab.Host
	here     remote.Host
}

func (h sshHost) Name() string { return h.name }

func (h sshHost) command(ctx context.Context, args []string) (remote.Command, error) {
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
	}
	c, err := h.firstbox.Command(context.WithoutCancel(ctx), "ssh", "-o", "BatchMode=yes", h.name, strings.Join(words, " "))
	if err != nil {
		return remote.Command{}, err
	}
	return remote.Command{Args: c.Args}, nil
}

func (h sshHost) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	c, err := h.command(ctx, cmd.Args)
	if err != nil {
		return remote.Result{}, err
	}
	c.Stdin = cmd.Stdin
	return h.here.Run(ctx, c)
}

func (h sshHost) Pipe(ctx context.Context, cmd remote.Command) (net.Conn, error) {
	c, err := h.command(ctx, cmd.Args)
	if err != nil {
		return nil, err
	}
	return h.here.Pipe(ctx, c)
}

func (h sshHost) Dial(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("not needed here")
}

// renewals renews servers of a region.
type renewals struct {
	*testing.T
	r     *lab.Region
	stamp time.Time
	notes []string // of the last one
	seen  int      // how often it told its progress
}

func newRenewals(t *testing.T, spec lab.Spec) *renewals {
	return &renewals{T: t, r: region(t, spec), stamp: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

func (s *renewals) on(h *lab.Host) *postgres.Server {
	here := remote.NewPool(remote.Options{LocalName: "here", NoSudo: true}).Host("here")
	return postgres.On(sshHost{h.Name(), s.r.Firstbox(), here}, postgres.Settings{DataDir: h.DataDir()})
}

// renewal is what a caller of Renew knows of the two servers.
func (s *renewals) renewal(host, master *lab.Host, method string) postgres.Renewal {
	s.Helper()
	s.stamp = s.stamp.Add(time.Second)
	id, err := strconv.ParseUint(psql(s.T, master, "SELECT system_identifier FROM pg_control_system()"), 10, 64)
	must(s.T, err)
	timeline, err := strconv.ParseUint(psql(s.T, master, "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)"), 16, 32)
	must(s.T, err)
	return postgres.Renewal{
		Method: method, DataDir: host.DataDir(), Stamp: s.stamp.Format("20060102T150405Z"), Master: master.Name(), SystemID: id,
		Timeline: cluster.Timeline(timeline),
		Upstream: postgres.ConnInfo{"host": master.Name(), "port": fmt.Sprint(master.Port()), "user": "replicator"},
	}
}

// fork is where the master's history left the timeline before its own.
func (s *renewals) fork(r *postgres.Renewal, master *lab.Host) {
	s.Helper()
	line := strings.Fields(shell(s.T, master, fmt.Sprintf("tail -n 1 %s/pg_wal/%08X.history", master.DataDir(), uint32(r.Timeline))))
	timeline, err := strconv.ParseUint(line[0], 10, 32)
	must(s.T, err)
	r.ForkTimeline = cluster.Timeline(timeline)
	r.Fork, err = cluster.ParseLSN(line[1])
	must(s.T, err)
}

func (s *renewals) renew(ctx context.Context, host, master *lab.Host, r postgres.Renewal) (string, error) {
	s.notes, s.seen = nil, 0
	return s.on(host).Renew(ctx, r, s.on(master), func(p postgres.Progress) {
		if p.Note != "" {
			s.notes = append(s.notes, p.Note)
			return
		}
		s.seen++
	})
}

// renewed renews, checks what must hold after every renewal, and lets the server follow.
func (s *renewals) renewed(host, master *lab.Host, r postgres.Renewal, method string) {
	s.Helper()
	got, err := s.renew(s.Context(), host, master, r)
	if err != nil || got != method {
		s.Fatalf("renewed by %q, %v, expected %s; notes %q", got, err, method, s.notes)
	}
	left := shell(s.T, host, fmt.Sprintf("cd %s; ls -d ../*.pgctl-new ../*.pgctl-conf* ../*.pgctl-rewinding ../*.pgctl-copying /run/pgctl-* pg_replslot/* 2>/dev/null; true", host.DataDir()))
	if left != "" {
		s.Errorf("left behind: %s", left)
	}
	mark := shell(s.T, host, "cat "+host.DataDir()+"/pgctl.renewed")
	if !strings.Contains(mark, `"method":"`+method+`","host":"`+host.Name()+`","master":"`+master.Name()+`"`) {
		s.Errorf("mark %s", mark)
	}
	s.follow(host, master)
}

// follow makes a renewed server a standby, as the plan that renewed it would, and compares its data with the master's.
func (s *renewals) follow(host, master *lab.Host) {
	s.Helper()
	file := "postgresql.auto.conf"
	if host.DataDir() == "/opt/postgresql/data" {
		file = "recovery.conf"
	}
	shell(s.T, host, fmt.Sprintf("cd %s && sed -i '/^primary_/d' %[2]s && echo \"primary_conninfo = 'host=%[3]s port=%[4]d user=replicator application_name=%[5]s'\" >> %[2]s",
		host.DataDir(), file, master.Name(), master.Port(), host.Name()))
	must(s.T, host.Start(s.Context(), "postgresql"))
	position := psql(s.T, master, "SET synchronous_commit = local; INSERT INTO told SELECT max(n) + 1 FROM told; SELECT pg_current_wal_lsn()")
	for limit := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		out, err := host.PSQL(s.Context(), "SELECT pg_last_wal_replay_lsn() >= '"+position+"' AND (SELECT status = 'streaming' FROM pg_stat_wal_receiver)")
		if err == nil && out == "t" {
			break
		}
		if time.Now().After(limit) {
			s.Fatalf("%s does not stream: %q, %v\n%s", host.Name(), out, err, shell(s.T, host, "tail -n 20 /var/log/postgresql/*.log"))
		}
	}
	const all = "SELECT count(*), sum(n), md5(string_agg(n::text, ',' ORDER BY n)) FROM told"
	if a, b := psql(s.T, master, all), psql(s.T, host, all); a != b {
		s.Errorf("%s has %s, its master %s", host.Name(), b, a)
	}
}

// write adds rows that wait for no standby.
func write(t *testing.T, h *lab.Host, from, to int) {
	t.Helper()
	psql(t, h, fmt.Sprintf("SET synchronous_commit = local; CREATE TABLE IF NOT EXISTS told (n int); INSERT INTO told SELECT generate_series(%d, %d)", from, to))
}

func alone(t *testing.T, h *lab.Host) {
	t.Helper()
	psql(t, h, "ALTER SYSTEM SET synchronous_standby_names = ''; SELECT pg_reload_conf()")
}

func (s *renewals) asides(h *lab.Host) []cluster.Aside {
	s.Helper()
	found, err := s.on(h).Asides(s.Context(), h.DataDir())
	must(s.T, err)
	return found
}

// TestMatrixRenewFirst: the two ways, and what they set aside.
func TestMatrixRenewFirst(t *testing.T) {
	s := newRenewals(t, lab.Spec{})
	db1, db2 := s.r.Host("db1"), s.r.Host("db2")
	alone(t, db1)
	write(t, db1, 1, 1000)
	t.Run("clone over old data", func(t *testing.T) {
		s := s.in(t)
		must(t, db2.Stop(t.Context(), "postgresql"))
		shell(t, db2, "echo old > /var/lib/postgresql/15/main/witness; echo 'work_mem = 7MB' > /var/lib/postgresql/15/main/own.conf")
		r := s.renewal(db2, db1, postgres.MethodClone)
		s.renewed(db2, db1, r, postgres.MethodClone)
		if s.seen == 0 {
			t.Error("it told no progress")
		}
		found := s.asides(db2)
		if len(found) != 1 || found[0].Path != db2.DataDir()+".pgctl-"+r.Stamp || found[0].What != "data" || found[0].Bytes < 1<<20 || !found[0].Made.Equal(s.stamp) {
			t.Errorf("set aside: %+v", found)
		}
		if got := shell(t, db2, "cat "+db2.DataDir()+".pgctl-*/witness "+db2.DataDir()+"/own.conf"); got != "old\nwork_mem = 7MB" {
			t.Errorf("the old data, and the host's own configuration: %q", got)
		}
	})
	t.Run("cleanup", func(t *testing.T) { s.in(t).cleanedUp(db2, db1) })
	t.Run("refused while it runs", func(t *testing.T) {
		s := s.in(t)
		before := shell(t, db2, "ls -la --time-style=full-iso /var/lib/postgresql/15 | grep -v lock; head -1 /var/lib/postgresql/15/main/postmaster.pid")
		for _, method := range []string{postgres.MethodClone, postgres.MethodRewind} {
			r := s.renewal(db2, db1, method)
			r.Fork, r.ForkTimeline = 1, r.Timeline+1
			_, err := s.renew(t.Context(), db2, db1, r)
			var refusal *cluster.Refusal
			if !errors.As(err, &refusal) || !strings.Contains(err.Error(), "PostgreSQL runs on /var/lib/postgresql/15/main") {
				t.Errorf("%s: %v", method, err)
			}
		}
		if after := shell(t, db2, "ls -la --time-style=full-iso /var/lib/postgresql/15 | grep -v lock; head -1 /var/lib/postgresql/15/main/postmaster.pid"); after != before {
			t.Errorf("a refusal changed something:\n%s\n%s", before, after)
		}
	})
	t.Run("rewind after a promotion", func(t *testing.T) { s.in(t).rewound(db1, db2, func() { must(t, db1.Stop(t.Context(), "postgresql")) }) })
}

// in gives a subtest its own view.
func (s *renewals) in(t *testing.T) *renewals {
	s.stamp = s.stamp.Add(time.Minute)
	sub := *s
	sub.T = t
	return &sub
}

// rewound: the standby was promoted, both sides wrote, the old master was stopped somehow and becomes a standby.
func (s *renewals) rewound(old, master *lab.Host, stop func()) {
	psql(s.T, master, "SELECT pg_promote()")
	alone(s.T, master)
	write(s.T, master, 10001, 12000)
	write(s.T, old, 20001, 23000)
	psql(s.T, old, "CREATE TABLE lost AS SELECT generate_series(1, 1000)")
	if old.DataDir() == "/var/lib/postgresql/15/main" {
		psql(s.T, old, "SELECT pg_create_physical_replication_slot('left_over_"+s.stamp.Format("150405")+"', true)")
	}
	stop()
	r := s.renewal(old, master, postgres.MethodRewind)
	s.fork(&r, master)
	s.renewed(old, master, r, postgres.MethodRewind)
	if out, err := old.PSQL(s.Context(), "SELECT count(*) FROM lost"); err == nil {
		s.Errorf("what the old master alone had is still there: %s", out)
	}
	if port := psql(s.T, old, "SHOW port"); port != fmt.Sprint(old.Port()) {
		s.Errorf("port %s", port)
	}
	i := slices.IndexFunc(s.asides(old), func(a cluster.Aside) bool { return strings.HasSuffix(a.Path, r.Stamp) })
	if i < 0 || s.asides(old)[i].What != "wal" {
		s.Fatalf("the WAL past the fork was not set aside: %+v", s.asides(old))
	}
	out := shell(s.T, old, fmt.Sprintf("/usr/lib/postgresql/15/bin/pg_waldump -s %s -t %d -p %s 2>/dev/null | grep -c COMMIT", r.Fork, uint32(r.ForkTimeline), s.asides(old)[i].Path))
	if n, err := strconv.Atoi(out); err != nil || n < 2 {
		s.Errorf("the WAL set aside has %s commits past the fork", out)
	}
}

// twins: both servers were promoted to the same timeline, independently. pg_rewind would say that nothing is to be done.
func (s *renewals) twins(host, master *lab.Host) {
	must(s.T, host.Stop(s.Context(), "postgresql"))
	psql(s.T, master, "SELECT pg_promote()") // the standby of before
	alone(s.T, master)
	write(s.T, master, 30001, 31000)
	shell(s.T, host, "rm -f "+host.DataDir()+"/standby.signal "+host.DataDir()+"/recovery.signal; touch "+host.DataDir()+"/recovery.signal; "+
		"echo \"restore_command = 'false'\nrecovery_target_timeline = 'current'\" >> "+host.DataDir()+"/postgresql.auto.conf; chown postgres: "+host.DataDir()+"/recovery.signal")
	must(s.T, host.Start(s.Context(), "postgresql"))
	for range 50 {
		if out, err := host.PSQL(s.Context(), "SELECT pg_is_in_recovery()"); err == nil && out == "f" {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	write(s.T, host, 40001, 41000)
	must(s.T, host.Stop(s.Context(), "postgresql"))
	r := s.renewal(host, master, postgres.MethodRewind)
	s.fork(&r, master)
	s.renewed(host, master, r, postgres.MethodClone)
	if len(s.notes) != 1 || !strings.Contains(s.notes[0], "cannot be rewound, so it is cloned") {
		s.Errorf("notes %q", s.notes)
	}
	s.Logf("%s", s.notes)
}

// cleanedUp: what the clone before set aside is listed, kept while its server does not stream, and removed.
func (s *renewals) cleanedUp(host, master *lab.Host) {
	aside := s.asides(host)[0].Path
	doc, _ := overviewOf(s.T, s.r)
	if a := doc.Servers[1].Aside; len(a) != 1 || a[0].Path != aside || !a[0].Made.Equal(s.asides(host)[0].Made) {
		s.Errorf("overview lists aside %+v", a)
	}
	if out := pgctl(s.T, s.r, "overview"); !strings.Contains(out.Stdout, aside+"  2026-01-02 03:0") {
		s.Errorf("overview: %s", out.Stdout)
	}
	if out := pgctl(s.T, s.r, "cleanup", "db2", "--older-than", "1000000h", "--yes"); out.Exit != exitDone || strings.Contains(out.Stdout, aside) {
		s.Errorf("younger than asked for: %+v", out)
	}
	must(s.T, host.Stop(s.Context(), "postgresql"))
	if out := pgctl(s.T, s.r, "cleanup", "--yes"); out.Exit != exitPartway || !strings.Contains(out.Stderr, "left out: db2 (it does not stream from the master: its old data stays aside until it does)") {
		s.Errorf("beside a standby that is down: %+v", out)
	}
	must(s.T, host.Start(s.Context(), "postgresql"))
	s.follow(host, master)
	if out := pgctl(s.T, s.r, "cleanup", "--dry-run"); out.Exit != exitDone || !strings.Contains(out.Stdout, "remove "+aside+" (the old data, ") {
		s.Errorf("dry run: %+v", out)
	}
	if found := s.asides(host); len(found) != 1 {
		s.Fatalf("a dry run or a refusal removed something: %+v", found)
	}
	out := pgctl(s.T, s.r, "cleanup", "--yes")
	if left := s.asides(host); out.Exit != exitDone || len(left) != 0 {
		s.Errorf("left %+v after %+v", left, out)
	}
	if out := pgctl(s.T, s.r, "cleanup"); out.Exit != exitDone {
		s.Errorf("a second time: %+v", out)
	}
}
