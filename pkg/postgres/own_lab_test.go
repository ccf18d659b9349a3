//go:build lab

package postgres

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// twoServers are a master db1 and its standby db2, as a watcher keeps them.
func twoServers(t *testing.T, bin string) (master, standby *realServer) {
	t.Helper()
	master = newServer(t, bin)
	master.up()
	must(t, master.WriteRow(within(t, time.Minute), 1, "first"))
	must(t, master.Checkpoint(within(t, time.Minute)))
	must(t, master.Stop(within(t, time.Minute)))
	dir := workDir(t)
	t.Cleanup(func() { os.RemoveAll(dir) })
	asPostgres(t, dir, "cp", "-a", master.dir, dir+"/data")
	standby = serverIn(t, bin, "db2", dir)
	master.up()
	must(t, standby.SetMember(within(t, time.Minute), "db2_1"))
	must(t, standby.StartReadOnly(within(t, time.Minute)))
	standby.follows(master, 1)
	return master, standby
}

// upstream is how a standby reaches this server.
func (r *realServer) upstream(name string) ConnInfo {
	return ConnInfo{"host": "127.0.0.1", "port": strconv.Itoa(r.port), "user": "postgres", "application_name": name, "connect_timeout": "2"}
}

// follows points the server at another one, and waits until it streams.
func (r *realServer) follows(master *realServer, epoch int64) OwnSight {
	r.t.Helper()
	must(r.t, r.Follow(within(r.t, 20*time.Second), master.upstream(r.host.Name()+"_1"), epoch))
	return eventually(r.t, r.Own, "a stream", func(s OwnSight) bool {
		return s.SQL != nil && s.SQL.Receiver != nil && s.SQL.Receiver.Status == "streaming" && s.Service.Port == strconv.Itoa(master.port)
	})
}

// frozen waits until no receiver was seen for a while.
func (r *realServer) frozen() OwnSight {
	r.t.Helper()
	must(r.t, r.Freeze(within(r.t, 20*time.Second)))
	gone := 0
	return eventually(r.t, r.Own, "no receiver", func(s OwnSight) bool {
		if gone++; s.SQL == nil || s.SQL.Receiver != nil && s.SQL.Receiver.Status != "" || len(r.receivers()) > 0 && strings.Contains(fmt.Sprint(r.receivers()), "streaming") {
			gone = 0
		}
		return gone > 15 // a second and a half: wal_retrieve_retry_interval is one
	})
}

func (r *realServer) receivers() []string {
	pm, err := readPostmaster(r.dir)
	must(r.t, err)
	var all []string
	for _, c := range pm.children() {
		if receiverTitle.MatchString(c.title) {
			all = append(all, c.title)
		}
	}
	return all
}

// client opens a session of somebody else.
func (r *realServer) client(name string) (*pgconn.PgConn, error) {
	return pgconn.Connect(within(r.t, 10*time.Second), fmt.Sprintf("host=127.0.0.1 port=%d user=%s dbname=postgres sslmode=disable", r.port, name))
}

func TestLabOwnLook(t *testing.T) {
	onEach(t, func(t *testing.T, bin string) {
		master, standby := twoServers(t, bin)
		master.sql("CREATE TABLE public.t AS SELECT generate_series(1, 1000) AS i")
		m := eventually(t, master.Own, "a sender", func(s OwnSight) bool {
			return s.SQL != nil && len(s.SQL.Senders) == 1 && s.SQL.Senders[0].Flush == s.SQL.Current
		})
		w := m.SQL.Senders[0]
		if w.Name != "db2_1" || w.Address != "127.0.0.1" || w.State != "streaming" || w.PID == 0 || w.Started > m.SQL.Clock || w.Started < m.SQL.Clock-60_000_000 {
			t.Errorf("the walsender: %+v", w)
		}
		if !m.Running || m.Gate || m.CleanStop || m.Port != master.port || m.SQL.Recovery || m.SQL.Timeline != 1 || m.SystemID != m.SQL.SystemID ||
			m.FilesErr != nil || m.HBAStale || m.HBAClosed || m.Started.IsZero() || m.AskedAs != "postgres" && m.AskedAs != WatcherRole {
			t.Errorf("the master: %+v, %+v", m, m.SQL)
		}
		if len(m.SQL.Rows) != 1 || m.SQL.Rows[0].Nonce != "first" || m.SQL.Rows[0].Master != "db1" {
			t.Errorf("its rows: %+v", m.SQL.Rows)
		}
		s := eventually(t, standby.Own, "all replayed", func(s OwnSight) bool { return s.SQL != nil && s.SQL.Replayed == m.SQL.Current && s.SQL.AtEnd })
		if !s.Gate || !s.ByService || s.Direct != "" || s.Service != (Upstream{"127.0.0.1", strconv.Itoa(master.port), "db2_1", 1}) || s.Member != "db2_1" || s.Archive {
			t.Errorf("the standby's files: %+v", s)
		}
		r := s.SQL.Receiver
		if !s.SQL.Recovery || s.SQL.Timeline != 1 || s.SQL.Received != m.SQL.Current || len(s.SQL.Rows) != 1 || s.SQL.Names != cluster.ClosedNames ||
			r == nil || r.SenderHost != "127.0.0.1" || r.Name != "db2_1" || r.TLI != 1 || r.PID == 0 || s.SQL.Settings["restart_after_crash"] != "off" {
			t.Errorf("the standby: %+v, %+v", s.SQL, r)
		}
		standby.sql("SELECT pg_wal_replay_pause()")
		if s := standby.Look(within(t, time.Minute)); !s.SQL.Paused || s.SQL.AtEnd {
			t.Errorf("paused: %+v", s.SQL)
		}
		must(t, standby.ResumeReplay(within(t, time.Minute)))
		must(t, standby.ResumeReplay(within(t, time.Minute)))
		if s := standby.Look(within(t, time.Minute)); s.SQL.Paused {
			t.Error("still paused")
		}
		must(t, os.WriteFile(standby.dir+"/pgctl.member", []byte("db1_1\n"), 0o600)) // as it comes with a copy
		pid := s.PID
		must(t, unix.Kill(pid, unix.SIGSTOP))
		for stat(pid).state != "T" {
			time.Sleep(time.Millisecond)
		}
		s = standby.Look(within(t, 300*time.Millisecond))
		must(t, unix.Kill(pid, unix.SIGCONT))
		if !s.Running || !s.Halted || s.SQL != nil || s.SQLErr == nil || s.Member != "" {
			t.Errorf("stopped by a signal: %+v", s)
		}
		if err := standby.SetMember(t.Context(), "db1_1"); !errors.Is(err, errNotMember) {
			t.Errorf("another host's name: %v", err)
		}
		must(t, unix.Kill(pid, unix.SIGKILL))
		s = eventually(t, standby.Own, "its end", func(s OwnSight) bool { return !s.Running && s.Orphans == 0 })
		if s.CleanStop || s.SystemID != m.SystemID {
			t.Errorf("killed: %+v", s)
		}
	})
}

// TestLabOwnAtEnd: a startup process that waits between two tries may not have read what is there.
func TestLabOwnAtEnd(t *testing.T) {
	onEach(t, func(t *testing.T, bin string) {
		master, standby := twoServers(t, bin)
		must(t, standby.EnsureSettings(within(t, time.Minute), map[string]string{"wal_retrieve_retry_interval": "6s"}))
		eventually(t, standby.Own, "the setting", func(s OwnSight) bool { return s.SQL != nil && s.SQL.Settings["wal_retrieve_retry_interval"] == "6s" })
		pm, err := readPostmaster(standby.dir)
		must(t, err)
		// the first failure after a long time is followed by no wait, so there is one before
		must(t, standby.Reconnect(within(t, time.Minute)))
		eventually(t, standby.Own, "a stream", func(s OwnSight) bool {
			return s.SQL != nil && s.SQL.Receiver != nil && s.SQL.Receiver.Status == "streaming"
		})
		startup := titled(pm.children(), startupTitle)
		if len(startup) != 1 {
			t.Fatalf("startup processes: %v of %+v", startup, pm.children())
		}
		must(t, unix.Kill(startup[0], unix.SIGSTOP))
		master.sql("CREATE TABLE public.t AS SELECT generate_series(1, 10000) AS i")
		at := master.Look(within(t, time.Minute)).SQL.Current
		s := eventually(t, standby.Own, "all received", func(s OwnSight) bool { return s.SQL != nil && s.SQL.Received >= at })
		if s.SQL.AtEnd || s.SQL.Replayed >= at {
			t.Errorf("what was received is not replayed: %+v", s.SQL)
		}
		must(t, standby.Freeze(within(t, time.Minute)))
		eventually(t, standby.Own, "no receiver", func(OwnSight) bool { return len(standby.receivers()) == 0 })
		must(t, unix.Kill(startup[0], unix.SIGCONT))
		waited := false
		s = eventually(t, standby.Own, "the end", func(s OwnSight) bool {
			if s.SQL == nil {
				return false
			}
			if s.SQL.AtEnd && s.SQL.Replayed < at {
				t.Fatalf("at the end at %s, %s was received: %+v", s.SQL.Replayed, at, s.SQL)
			}
			event := standby.sql("SELECT coalesce(wait_event, '') FROM pg_stat_activity WHERE backend_type = 'startup'")[0][0]
			waited = waited || waitsForWAL(event) && standby.Look(t.Context()).SQL.Replayed < at
			return s.SQL.AtEnd
		})
		if s.SQL.Replayed != at {
			t.Errorf("it ends at %s, %s was received", s.SQL.Replayed, at)
		}
		t.Logf("the startup process was seen to wait before it had replayed what was there: %t", waited)
	})
}

func TestLabOwnCommit(t *testing.T) {
	onEach(t, func(t *testing.T, bin string) {
		master, standby := twoServers(t, bin)
		const names = `FIRST 1 ("db2_1")`
		must(t, master.SetNames(within(t, time.Minute), names))
		eventually(t, master.Own, "the names", func(s OwnSight) bool { return s.SQL != nil && s.SQL.Names == names })
		if got, warned, err := master.Commit(within(t, time.Minute), CanaryName, "on"); got != names || warned || err != nil {
			t.Errorf("a commit: %q, %t, %v", got, warned, err)
		}
		standby.frozen()
		before := master.Look(within(t, time.Minute)).SQL.Current
		if _, warned, err := master.Commit(within(t, time.Minute), "pgctl.write", "local"); warned || err != nil {
			t.Errorf("a local commit: %t, %v", warned, err)
		}
		if after := master.Look(within(t, time.Minute)).SQL.Current; after <= before {
			t.Error("it wrote nothing")
		}
		// given up: it goes on waiting, and is not cancelled
		if _, _, err := master.Commit(within(t, 500*time.Millisecond), CanaryName, "on"); err == nil {
			t.Error("nobody is there, and it came back")
		}
		eventually(t, master.Own, "one that waits", func(s OwnSight) bool { return s.SQL != nil && s.SQL.WaitingSync })
		const count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgctl.canary'"
		for range 3 {
			_, _, _ = master.Commit(within(t, 500*time.Millisecond), CanaryName, "on")
		}
		if n := master.sql(count); n[0][0] > "2" {
			t.Errorf("%s sessions wait: each keeps a connection", n[0][0])
		}
		// cancelled by somebody: it returns, and proves nothing
		type result struct {
			warned bool
			err    error
		}
		done := make(chan result, 1)
		go func() {
			_, warned, err := master.Commit(within(t, time.Minute), CanaryName, "on")
			done <- result{warned, err}
		}()
		for range 200 {
			if rows := master.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgctl.canary' AND wait_event = 'SyncRep' AND pid = ANY ($1::int[])", master.pids()); len(rows) > 0 {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if got := <-done; !got.warned || got.err != nil {
			t.Errorf("a cancelled wait: %+v", got)
		}
		// a new watcher ends what the old one has left
		next := OwnServer(master.host, master.settings)
		go func() { _, _, _ = master.Commit(within(t, time.Minute), CanaryName, "on") }()
		eventually(t, master.Own, "one that waits", func(s OwnSight) bool { return s.SQL != nil && s.SQL.WaitingSync })
		must(t, next.EndPredecessors(within(t, time.Minute)))
		if n := master.sql(count); n[0][0] != "0" {
			t.Errorf("%s sessions are left", n[0][0])
		}
		must(t, master.SetNames(within(t, time.Minute), ""))
		if s := eventually(t, master.Own, "no names", func(s OwnSight) bool { return s.SQL != nil && s.SQL.Names == "" }); s.SQL.WaitingSync {
			t.Error("nobody waits any more")
		}
	})
}

func TestLabOwnClients(t *testing.T) {
	onEach(t, func(t *testing.T, bin string) {
		master, standby := twoServers(t, bin)
		master.sql("CREATE ROLE app LOGIN")
		hba, err := os.ReadFile(master.dir + "/pg_hba.conf")
		must(t, err)
		inside, err := master.client("app")
		must(t, err)
		slow, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(master.port)) // let in by the rules of before, if it may
		must(t, err)
		defer slow.Close()
		time.Sleep(100 * time.Millisecond)
		must(t, master.CloseClients(within(t, time.Minute)))
		must(t, master.CloseClients(within(t, time.Minute)))
		if s := master.Look(within(t, time.Minute)); !s.HBAClosed || s.HBAStale {
			t.Errorf("closed: %+v", s)
		}
		if err := inside.Exec(within(t, time.Minute), "SELECT 1").Close(); err == nil {
			t.Error("who was inside still is")
		}
		must(t, slow.SetReadDeadline(time.Now().Add(5*time.Second)))
		if n, err := slow.Read(make([]byte, 1)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("who was at the door still is: %v", err)
		}
		for _, who := range []string{"app", "postgres"} { // the site's own role comes in over the socket only
			var pg *pgconn.PgError
			if conn, err := master.client(who); !errors.As(err, &pg) || pg.Code != "28000" || !strings.Contains(pg.Message, "rejects connection") {
				t.Errorf("%s: %v, %v", who, conn, err)
			}
		}
		standby.follows(master, 2) // replication is let in as before
		// another watcher does not know whether it was read
		next := OwnServer(master.host, master.settings)
		if s := next.Look(within(t, time.Minute)); s.HBAClosed || !s.HBAStale {
			t.Errorf("a new watcher: %+v", s)
		}
		must(t, next.LoadHBA(within(t, time.Minute)))
		if s := next.Look(within(t, time.Minute)); !s.HBAClosed || s.HBAStale {
			t.Errorf("a new watcher that has asked: %+v", s)
		}
		must(t, master.OpenClients(within(t, time.Minute)))
		if now, _ := os.ReadFile(master.dir + "/pg_hba.conf"); string(now) != string(hba) {
			t.Errorf("pg_hba.conf is not as it was: %s", now)
		}
		conn, err := master.client("app")
		must(t, err)
		defer conn.Close(t.Context())
		if s := master.Look(within(t, time.Minute)); s.HBAClosed || s.HBAStale {
			t.Errorf("open: %+v", s)
		}
		// an error in the file: it is not taken, and nobody is told that it was
		must(t, os.WriteFile(master.dir+"/pg_hba.conf", append(hba, "nonsense here\n"...), 0o600))
		if err := master.CloseClients(within(t, time.Minute)); err == nil || !strings.Contains(err.Error(), "line ") {
			t.Errorf("an error in the file: %v", err)
		}
		if s := master.Look(within(t, time.Minute)); s.HBAClosed || !s.HBAStale {
			t.Errorf("with an error in the file: %+v", s)
		}
		must(t, os.WriteFile(master.dir+"/pg_hba.conf", hba, 0o600))
		must(t, os.WriteFile(master.dir+"/postgresql.auto.conf", []byte("nonsense here\n"), 0o600))
		if err := master.CloseClients(within(t, time.Second)); err == nil || !strings.Contains(err.Error(), "postgresql.auto.conf: line 1: ") {
			t.Errorf("an error in postgresql.auto.conf: %v", err)
		}
	})
}

func TestLabOwnFreeze(t *testing.T) {
	onEach(t, func(t *testing.T, bin string) {
		master, standby := twoServers(t, bin)
		pid := standby.Look(within(t, time.Minute)).PID
		for epoch := int64(2); epoch < 4; epoch++ {
			s := standby.frozen()
			if s.Service != (Upstream{}) || s.PID != pid || !s.ByService {
				t.Errorf("frozen: %+v", s)
			}
			master.sql("SELECT pg_switch_wal(), txid_current()")
			if now := standby.Look(within(t, time.Minute)); now.SQL.Replayed != s.SQL.Replayed || !now.SQL.AtEnd {
				t.Errorf("it moved from %s to %+v", s.SQL.Replayed, now.SQL)
			}
			must(t, standby.EnsureSettings(within(t, time.Minute), map[string]string{"wal_retrieve_retry_interval": "20s"}))
			eventually(t, standby.Own, "the setting", func(s OwnSight) bool { return s.SQL != nil && s.SQL.Settings["wal_retrieve_retry_interval"] == "20s" })
			time.Sleep(1200 * time.Millisecond) // now it waits that long
			began := time.Now()
			if s := standby.follows(master, epoch); s.Service.Epoch != epoch || s.PID != pid {
				t.Errorf("it follows: %+v", s)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it came back after %s", took)
			} else {
				t.Logf("it came back after %s", took)
			}
			must(t, standby.EnsureSettings(within(t, time.Minute), map[string]string{"wal_retrieve_retry_interval": "1s"}))
		}
		// one that names a host, as pgctl has not made it
		conf := "postgresql.auto.conf"
		if standby.Look(t.Context()).Major < 12 {
			conf = "recovery.conf"
		}
		must(t, standby.Stop(within(t, time.Minute)))
		text, err := os.ReadFile(filepath.Join(standby.dir, conf))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(standby.dir, conf), WithSettings(text, []Setting{{"primary_conninfo", new(master.upstream("db2_1").String())}}), 0o600))
		time.Sleep(1100 * time.Millisecond)
		must(t, standby.boot())
		s := eventually(t, standby.Own, "a stream", func(s OwnSight) bool {
			return s.SQL != nil && s.SQL.Receiver != nil && s.SQL.Receiver.Status == "streaming"
		})
		if s.ByService || s.Direct != "127.0.0.1" {
			t.Errorf("direct: %+v", s)
		}
		pid = s.PID
		s = standby.frozen()
		if !s.ByService || s.Direct != "" || (s.Major >= 13) != (s.PID == pid) {
			t.Errorf("frozen: %+v", s)
		}
		standby.follows(master, 9)
	})
}

func TestLabOwnStart(t *testing.T) {
	onEach(t, func(t *testing.T, bin string) {
		r := newServer(t, bin)
		must(t, r.StartReadOnly(within(t, time.Minute))) // of data that was shut down cleanly: there is nothing to replay
		if s := eventually(t, r.Own, "the end", func(s OwnSight) bool { return s.SQL != nil && s.SQL.AtEnd }); s.SQL.Replayed == 0 || s.SQL.Timeline != 1 {
			t.Errorf("after a clean stop: %+v", s.SQL)
		}
		must(t, r.StartMaster(within(t, time.Minute)))
		eventually(t, r.Own, "a master", func(s OwnSight) bool { return s.SQL != nil && !s.SQL.Recovery })
		must(t, r.OpenClients(within(t, time.Minute)))
		must(t, r.SetNames(within(t, time.Minute), ""))
		eventually(t, r.Own, "no names", func(s OwnSight) bool { return s.SQL != nil && s.SQL.Names == "" })
		r.sql("CREATE ROLE app LOGIN")
		must(t, r.PutGate(within(t, time.Minute)))
		must(t, r.PutGate(within(t, time.Minute)))
		must(t, r.NameSlot(within(t, time.Minute), "db1"))
		must(t, r.WriteRow(within(t, time.Minute), 1, "n"))
		if s := r.Look(within(t, time.Minute)); !s.Gate || s.SQL.Recovery || len(s.SQL.Rows) != 1 || s.Slot != "db1" {
			t.Errorf("a gate beside the master: %+v", s)
		}
		must(t, r.WriteRow(within(t, time.Minute), 1, "n"))
		if err := r.WriteRow(within(t, time.Minute), 1, "other"); err == nil {
			t.Error("another nonce of one epoch")
		}
		// whatever starts it finds a standby
		must(t, r.Kill(within(t, time.Minute)))
		if s := r.up(); !s.SQL.Recovery || !s.Gate || s.SQL.Timeline != 1 || !s.SQL.AtEnd {
			t.Errorf("started unasked: %+v, %+v", s, s.SQL)
		}
		must(t, r.StartReadOnly(within(t, time.Minute))) // it is
		must(t, r.StartMaster(within(t, time.Minute)))
		s := eventually(t, r.Own, "a master", func(s OwnSight) bool { return s.SQL != nil && !s.SQL.Recovery })
		if !s.Gate || s.Slot != "db1" || !s.HBAClosed || s.HBAStale || s.SQL.Timeline != 1 || len(s.SQL.Rows) != 1 || s.SQL.Replayed == 0 || s.SQL.Replayed > s.SQL.Current {
			t.Errorf("started as master: %+v, %+v", s, s.SQL)
		}
		if err := r.StartReadOnly(within(t, time.Minute)); err == nil {
			t.Error("a master is no standby")
		}
		if conn, err := r.client("app"); err == nil {
			t.Errorf("clients are in: %v", conn)
		}
		must(t, r.OpenClients(within(t, time.Minute)))
		// a backend is killed: it does not come back by itself
		inside, err := r.client("app")
		must(t, err)
		must(t, unix.Kill(int(inside.PID()), unix.SIGKILL))
		eventually(t, r.Own, "its end", func(s OwnSight) bool { return !s.Running })
		must(t, r.StartReadOnly(within(t, time.Minute)))
		if s := r.Look(within(t, time.Minute)); !s.SQL.Recovery || s.SQL.Names != cluster.ClosedNames {
			t.Errorf("read-only: %+v", s.SQL)
		}
		must(t, unix.Kill(r.Look(t.Context()).PID, unix.SIGSTOP))
		r.GiveStop(time.Second)
		began := time.Now()
		must(t, r.Stop(within(t, time.Minute)))
		if took := time.Since(began); took < time.Second || took > 1800*time.Millisecond {
			t.Errorf("it is killed after a second: %s", took)
		}
		if s := r.Look(t.Context()); s.Running || s.Orphans > 0 {
			t.Errorf("stopped by a signal, and not killed: %+v", s)
		}
		must(t, r.Stop(within(t, time.Minute)))
		// one that cannot start says why, and the gate is back
		must(t, os.WriteFile(r.dir+"/postgresql.conf", []byte("shared_buffers = nonsense\n"), 0o600))
		for name, start := range map[string]func() error{
			"as master": func() error { return r.StartMaster(within(t, time.Minute)) },
			"read-only": func() error { return r.StartReadOnly(within(t, time.Minute)) },
		} {
			if err := start(); err == nil {
				t.Errorf("%s: no error", name)
			} else {
				t.Log(err)
			}
			if s := r.Look(t.Context()); !s.Gate || !s.HBAClosed && name == "as master" {
				t.Errorf("%s: %+v", name, s)
			}
		}
	})
}

// TestLabOwnPromote: a standby becomes master on another timeline, another one follows it there, and is frozen on it before pg_control knows.
func TestLabOwnPromote(t *testing.T) {
	onEach(t, func(t *testing.T, bin string) {
		master, standby := twoServers(t, bin)
		end := master.Look(within(t, time.Minute)).SQL.Current
		eventually(t, standby.Own, "all replayed", func(s OwnSight) bool { return s.SQL != nil && s.SQL.Replayed == end })
		standby.frozen()
		must(t, master.Stop(within(t, time.Minute)))
		must(t, standby.CloseClients(within(t, time.Minute)))
		standby.sql("SELECT pg_wal_replay_pause()")
		must(t, standby.Promote(within(t, time.Minute)))
		must(t, standby.Promote(within(t, time.Minute))) // it is one already: nothing asks again
		if _, err := os.Stat(standby.dir + "/promote"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a request to promote is left: %v", err)
		}
		s := eventually(t, standby.Own, "a master", func(s OwnSight) bool { return s.SQL != nil && !s.SQL.Recovery })
		if s.SQL.Timeline != 2 || s.Gate || !s.HBAClosed || s.SQL.Names != cluster.ClosedNames {
			t.Errorf("promoted: %+v, %+v", s, s.SQL)
		}
		must(t, standby.WriteRow(within(t, time.Minute), 2, "second"))
		must(t, standby.PutGate(within(t, time.Minute)))
		s = standby.Look(within(t, time.Minute))
		if len(s.SQL.Rows) != 2 || !s.Gate || s.SQL.Rows[1] != (cluster.Epoch{Epoch: 2, Master: "db2", Nonce: "second", Timeline: 2, Fork: end}) {
			t.Errorf("signed: %+v, expected a fork at %s", s.SQL.Rows, end)
		}
		kept, err := os.ReadFile(standby.dir + "/pgctl.epochs")
		if err != nil || !strings.Contains(string(kept), `"nonce":"second"`) {
			t.Errorf("kept: %s, %v", kept, err)
		}
		// the old master follows
		must(t, master.StartReadOnly(within(t, time.Minute)))
		old := master.Look(within(t, time.Minute))
		if old.SQL.Timeline != 1 || old.SQL.Replayed != end || !old.SQL.AtEnd {
			t.Errorf("the old master ends at %s on %d, expected %s: %+v", old.SQL.Replayed, old.SQL.Timeline, end, old.SQL)
		}
		master.follows(standby, 2)
		now := standby.Look(within(t, time.Minute)).SQL.Current
		eventually(t, master.Own, "all replayed", func(s OwnSight) bool { return s.SQL != nil && s.SQL.Replayed == now })
		f := master.frozen()
		control := master.sql("SELECT timeline_id, (SELECT min_recovery_end_timeline FROM pg_control_recovery()) FROM pg_control_checkpoint()")[0]
		t.Logf("pg_control: %v", control)
		if f.SQL.Timeline != 2 || len(f.SQL.Rows) != 2 || f.SQL.Replayed != now || !f.SQL.AtEnd {
			t.Errorf("frozen on timeline %d at %s, expected 2 at %s: %+v", f.SQL.Timeline, f.SQL.Replayed, now, f.SQL)
		}
		// promoted again under one epoch, after a crash: the row says the timeline of now
		must(t, standby.Kill(within(t, time.Minute)))
		must(t, standby.StartReadOnly(within(t, time.Minute)))
		must(t, standby.Promote(within(t, time.Minute)))
		eventually(t, standby.Own, "a master", func(s OwnSight) bool { return s.SQL != nil && !s.SQL.Recovery })
		must(t, standby.WriteRow(within(t, time.Minute), 2, "second"))
		if s := standby.Look(within(t, time.Minute)); s.SQL.Timeline != 3 || len(s.SQL.Rows) != 3 || s.SQL.Rows[2].Timeline != 3 || s.SQL.Rows[2].Epoch != 2 {
			t.Errorf("signed again: %+v", s.SQL.Rows)
		}
	})
}

// TestLabOwnRoles: the watcher's role is asked as, where it is let in.
func TestLabOwnRoles(t *testing.T) {
	onEach(t, func(t *testing.T, bin string) {
		r := newServer(t, bin)
		r.role = login{"nobody", "nobody"}
		r.up()
		if s := r.Look(within(t, time.Minute)); s.AskedAs != "postgres" || !strings.Contains(s.Fallback, "nobody") {
			t.Errorf("no such role: %s, %q", s.AskedAs, s.Fallback)
		}
		r.sql("CREATE ROLE nobody LOGIN IN ROLE pg_monitor")
		hba, err := os.ReadFile(r.dir + "/pg_hba.conf")
		must(t, err)
		must(t, os.WriteFile(r.dir+"/pg_hba.conf", append([]byte("local all nobody peer\n"), hba...), 0o600))
		must(t, r.LoadHBA(within(t, time.Minute)))
		if s := r.Look(within(t, time.Minute)); s.AskedAs != "postgres" {
			t.Error("a refusal counts for a while")
		}
		r.again, r.instead = nil, ""
		if s := r.Look(within(t, time.Minute)); s.SQL == nil || s.AskedAs != "nobody" || s.Fallback != "" {
			t.Errorf("%s, %q, %v", s.AskedAs, s.Fallback, s.SQLErr)
		}
		if _, warned, err := r.Commit(within(t, time.Minute), CanaryName, "on"); warned || err != nil {
			t.Errorf("a commit: %t, %v", warned, err)
		}
		must(t, r.WriteRow(within(t, time.Minute), 1, "n")) // a table that the role may not read
		if s := r.Look(within(t, time.Minute)); s.SQL == nil || s.AskedAs != "postgres" || s.Fallback == "" || len(s.SQL.Rows) != 1 {
			t.Errorf("%s, %q, %v", s.AskedAs, s.Fallback, s.SQLErr)
		}
		r.sql("GRANT USAGE ON SCHEMA pgctl TO nobody")
		r.sql("GRANT SELECT ON pgctl.epoch TO nobody")
		r.again, r.instead = nil, ""
		must(t, r.CloseClients(within(t, time.Minute)))
		if s := r.Look(within(t, time.Minute)); s.SQL == nil || s.AskedAs != "nobody" || len(s.SQL.Rows) != 1 || !s.HBAClosed {
			t.Errorf("%s, %q, %v", s.AskedAs, s.Fallback, s.SQLErr)
		}
		// full: the connections that are kept for superusers are asked over
		r.sql("ALTER ROLE nobody CONNECTION LIMIT 0")
		if s := r.Look(within(t, time.Minute)); s.SQL == nil || s.AskedAs != "postgres" {
			t.Errorf("%s, %q, %v", s.AskedAs, s.Fallback, s.SQLErr)
		}
		if r.instead != "" {
			t.Error("it was not refused")
		}
	})
}

// TestLabOwnEndSender ends walsenders, and nobody else.
func TestLabOwnEndSender(t *testing.T) {
	onEach(t, func(t *testing.T, bin string) {
		master, standby := twoServers(t, bin)
		m := eventually(t, master.Own, "a sender", func(s OwnSight) bool { return s.SQL != nil && len(s.SQL.Senders) == 1 })
		inside, err := master.client("postgres")
		must(t, err)
		defer inside.Close(t.Context())
		must(t, master.EndSender(within(t, time.Minute), int(inside.PID())))
		must(t, inside.Exec(within(t, time.Minute), "SELECT 1").Close())
		must(t, master.EndSender(within(t, time.Minute), m.SQL.Senders[0].PID))
		eventually(t, master.Own, "another sender", func(s OwnSight) bool {
			return s.SQL != nil && len(s.SQL.Senders) == 1 && s.SQL.Senders[0].PID != m.SQL.Senders[0].PID
		})
		_ = standby
	})
}
