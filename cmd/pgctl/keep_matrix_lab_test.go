//go:build lab

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgctl/pgctl/internal/lab"
	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
)

// TestMatrixKeep has everything happen to a region that its watchers keep.
func TestMatrixKeep(t *testing.T) {
	for _, tt := range []struct {
		name string
		spec lab.Spec
	}{
		{"PostgreSQL 15", lab.Spec{}},
		{"PostgreSQL 15, three servers", lab.Spec{Servers: 3}},
		{"PostgreSQL 10", lab.Spec{Postgres: "10"}},
		{"PostgreSQL 10, three servers", lab.Spec{Postgres: "10", Servers: 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := keptRegion(t, tt.spec)
			for _, tr := range troubles(r) {
				if !t.Run(tr.name, func(t *testing.T) { suffers(t, r, &tr) }) {
					whole(t, r, 90*time.Second) // else the rest would tell nothing
				}
			}
		})
	}
}

// What an application may see at the most: PostgreSQL is started where it was, another server takes over, a standby leaves.
const (
	restartOutage  = 8 * time.Second
	failoverOutage = 24 * time.Second
	leaveOutage    = 12 * time.Second
	noOutage       = 2 * time.Second
)

func troubles(r *lab.Region) []trouble {
	all := append(processTroubles(), hostTroubles()...)
	all = append(all, networkTroubles()...)
	all = append(all, strangeTroubles()...)
	all = append(all, doubleTroubles(r)...)
	return append(all, splits(r)...)
}

func processTroubles() []trouble {
	return []trouble{
		{name: "postmaster killed", inject: func(t *testing.T, _ *lab.Region, m *lab.Host) { killPostmaster(t, m) }, lasts: 3 * time.Second, outage: restartOutage},
		{
			name: "postmaster stopped", either: true, lasts: 40 * time.Second, outage: failoverOutage,
			inject: func(t *testing.T, _ *lab.Region, m *lab.Host) { must(t, m.Freeze(lab.Postmaster)) },
			heal:   func(_ *testing.T, _ *lab.Region, m *lab.Host) { _ = m.Thaw(lab.Postmaster) }, // it was killed, perhaps
		},
		{
			name: "postmaster stopped, and its watcher begun anew", either: true, lasts: 40 * time.Second, outage: failoverOutage + 6*time.Second,
			inject: func(t *testing.T, _ *lab.Region, m *lab.Host) {
				must(t, m.Freeze(lab.Postmaster))
				time.Sleep(2 * time.Second)
				must(t, m.KillService(t.Context(), "pg_watcher"))
			},
			heal: func(_ *testing.T, _ *lab.Region, m *lab.Host) { _ = m.Thaw(lab.Postmaster) },
		},
		{name: "a backend killed under a waiting commit", inject: killWaiting, lasts: 3 * time.Second, either: true, outage: failoverOutage},
		{
			name: "disk full on the master", either: true, lasts: 30 * time.Second,
			inject: func(t *testing.T, _ *lab.Region, m *lab.Host) { must(t, m.FillDisk()) },
			heal:   func(t *testing.T, _ *lab.Region, m *lab.Host) { must(t, m.FreeDisk()) },
		},
		{
			name: "HA switched off for 20 s", outage: noOutage,
			inject: func(t *testing.T, r *lab.Region, m *lab.Host) {
				began := psql(t, m, "SELECT pg_postmaster_start_time()")
				if out := pgctl(t, r, "disable-ha", "--yes", patient); out.Exit != exitDone {
					t.Fatalf("%+v", out)
				}
				time.Sleep(20 * time.Second)
				if out := pgctl(t, r, "enable-ha", "--yes", patient); out.Exit != exitDone {
					t.Fatalf("%+v", out)
				}
				time.Sleep(3 * time.Second)
				if now := psql(t, m, "SELECT pg_postmaster_start_time()"); now != began {
					t.Errorf("the master's PostgreSQL was started anew at %s", now)
				}
			},
		},
		{name: "all watchers killed", inject: func(t *testing.T, r *lab.Region, _ *lab.Host) { killWatchers(t, r) }, lasts: 5 * time.Second, outage: noOutage},
		{
			name: "the master's watcher stopped for 60 s", either: true, lasts: 60 * time.Second, outage: failoverOutage,
			inject: func(t *testing.T, _ *lab.Region, m *lab.Host) { must(t, m.Freeze("pgctl watch")) },
			heal:   func(t *testing.T, _ *lab.Region, m *lab.Host) { must(t, m.Thaw("pgctl watch")) },
		},
	}
}

func hostTroubles() []trouble {
	reboot := func(t *testing.T, _ *lab.Region, m *lab.Host) { bootsReadOnly(t, m) }
	return []trouble{
		{name: "host killed", inject: func(t *testing.T, _ *lab.Region, m *lab.Host) { must(t, m.Kill(t.Context())) }, heal: reboot, moves: true, outage: failoverOutage},
		{
			name: "host killed, and the executor's watcher", heal: reboot, moves: true, outage: failoverOutage + 6*time.Second,
			inject: func(t *testing.T, r *lab.Region, m *lab.Host) {
				executor := r.Host(value(monitorOf(t, m).Quorum.Executor))
				must(t, m.Kill(t.Context()))
				if executor.Name() != m.Name() {
					must(t, executor.KillService(t.Context(), "pg_watcher"))
				}
			},
		},
		{name: "host killed, and the elected one's watcher stopped for 60 s", inject: stopElected, heal: reboot, moves: true, lasts: time.Second},
		{name: "the old master reboots without a watcher", moves: true, outage: failoverOutage, heal: bootsUnwatched, inject: func(t *testing.T, _ *lab.Region, m *lab.Host) {
			shell(t, m, "mv /etc/supervisor/conf.d/pg_watcher.conf /root/; sync")
			must(t, m.Kill(t.Context()))
		}},
		{
			name: "the master's host reboots, as was announced", lasts: 20 * time.Second,
			inject: func(t *testing.T, r *lab.Region, m *lab.Host) {
				if out := pgctl(t, r, "pause", "--host", m.Name(), "--for", "10m", "--reason", "new kernel"); out.Exit != exitDone {
					t.Errorf("%+v", out)
				}
				must(t, m.Kill(t.Context()))
			},
			heal: func(t *testing.T, r *lab.Region, m *lab.Host) {
				must(t, m.Boot(t.Context()))
				waitUntil(t, m.Name()+" to be the master that it was", func() bool {
					out, err := m.PSQL(t.Context(), "SELECT pg_is_in_recovery()")
					return err == nil && out == "f"
				})
				if out := pgctl(t, r, "resume"); out.Exit != exitDone {
					t.Errorf("%+v", out)
				}
			},
		},
		{
			name: "standby killed", lasts: 12 * time.Second, outage: leaveOutage,
			inject: func(t *testing.T, r *lab.Region, m *lab.Host) { must(t, standbysOf(r, m)[0].Kill(t.Context())) },
			heal:   func(t *testing.T, r *lab.Region, m *lab.Host) { must(t, standbysOf(r, m)[0].Boot(t.Context())) },
		},
		{
			name: "arbiter killed", lasts: 5 * time.Second, outage: noOutage,
			inject: func(t *testing.T, r *lab.Region, m *lab.Host) {
				for _, h := range r.Arbiters()[:min(1, len(r.Arbiters()))] {
					must(t, h.Kill(t.Context()))
				}
			},
			heal: func(t *testing.T, r *lab.Region, m *lab.Host) { bootAll(t, r) },
		},
		{
			name: "powered off and on", lasts: time.Second, either: true, mended: 2 * time.Minute,
			inject: func(t *testing.T, r *lab.Region, _ *lab.Host) {
				atOnce(t, r.Hosts()[1:], func(h *lab.Host) error { return h.Kill(t.Context()) })
			},
			heal: func(t *testing.T, r *lab.Region, _ *lab.Host) { bootAll(t, r) },
		},
	}
}

// healAll mends every network cable.
func healAll(t *testing.T, r *lab.Region, _ *lab.Host) {
	for _, h := range r.Hosts()[1:] {
		must(t, h.Heal(t.Context()))
	}
}

func networkTroubles() []trouble {
	return []trouble{
		{name: "host cut off", inject: func(t *testing.T, _ *lab.Region, m *lab.Host) { must(t, m.Cut(t.Context())) }, heal: healAll, moves: true, outage: failoverOutage},
		{name: "what the master sends is lost", heal: healAll, moves: true, outage: failoverOutage, inject: func(t *testing.T, r *lab.Region, m *lab.Host) {
			cutFrom(t, []*lab.Host{m}, others(r, m))
		}},
		{name: "what is sent to the master is lost", heal: healAll, moves: true, outage: failoverOutage, inject: func(t *testing.T, r *lab.Region, m *lab.Host) {
			cutFrom(t, others(r, m), []*lab.Host{m})
		}},
		{
			name: "the watchers cut off from each other", lasts: 25 * time.Second, outage: noOutage,
			inject: func(t *testing.T, r *lab.Region, m *lab.Host) {
				for _, h := range watchedHosts(r) {
					shell(t, h, fmt.Sprintf(`nft add table inet x; nft add chain inet x input "{ type filter hook input priority 0; }"; nft add rule inet x input tcp dport %[1]d drop; nft add rule inet x input tcp sport %[1]d drop`, nodes.DefaultWatcherPort))
				}
			},
			heal: func(t *testing.T, r *lab.Region, m *lab.Host) {
				for _, h := range watchedHosts(r) {
					shell(t, h, "nft delete table inet x")
				}
			},
		},
	}
}

// splits are all ways in which the network can fall into two halves.
func splits(r *lab.Region) (all []trouble) {
	hosts := r.Hosts()[1:]
	for set := 1; set < 1<<(len(hosts)-1); set++ { // the last host is always on the other side
		var here, there []*lab.Host
		for i, h := range hosts {
			if set>>i&1 == 1 {
				here = append(here, h)
			} else {
				there = append(there, h)
			}
		}
		all = append(all, trouble{
			name: "split: " + names(here) + " from " + names(there), lasts: 35 * time.Second, either: true, heal: healAll,
			inject: func(t *testing.T, _ *lab.Region, _ *lab.Host) { cutFrom(t, here, there); cutFrom(t, there, here) },
		})
	}
	return all
}

func strangeTroubles() []trouble {
	return []trouble{
		{name: "a stranger by the standby's name", inject: impostors, either: true, outage: failoverOutage},
		{
			name: "an error in postgresql.conf as commits come to wait again", inject: brokenForCheckpointer, outage: leaveOutage,
			heal: func(t *testing.T, r *lab.Region, m *lab.Host) {
				shell(t, m, "sed -i '/^an error/d' "+psql(t, m, "SHOW config_file"))
			},
		},
		{
			name: "standbys promoted by hand", lasts: time.Second, outage: leaveOutage, mended: 2 * time.Minute,
			inject: func(t *testing.T, r *lab.Region, m *lab.Host) {
				promoteAll(t, standbysOf(r, m))
			},
		},
		{
			name: "standbys promoted by hand where all of them end", lasts: time.Second, outage: leaveOutage, mended: 2 * time.Minute,
			inject: func(t *testing.T, r *lab.Region, m *lab.Host) {
				must(t, m.Freeze("wal ?sender"))
				time.Sleep(500 * time.Millisecond)
				for _, h := range standbysOf(r, m) {
					t.Logf("%s ends at %s", h.Name(), psql(t, h, "SELECT pg_last_wal_receive_lsn()"))
				}
				promoteAll(t, standbysOf(r, m))
				_ = m.Thaw("wal ?sender") // its standbys are gone, perhaps
			},
		},
	}
}

// brokenForCheckpointer has the checkpointer of a master that nobody is waited for find an error in the file when it comes to read that somebody is. It alone has commits
// wait (M3), so they wait for nobody, and the standbys that come back may not count.
func brokenForCheckpointer(t *testing.T, r *lab.Region, m *lab.Host) {
	standbys := standbysOf(r, m)
	atOnce(t, standbys, func(h *lab.Host) error { return h.Stop(t.Context(), "postgresql") })
	waitUntil(t, "commits that wait for nobody", func() bool {
		s := latest(t.Context(), r)
		n, ok := s.Newest()
		return ok && n.K == 0 && len(s.Configs) == 1
	})
	must(t, m.Freeze("postgres: .*checkpointer"))
	atOnce(t, standbys, func(h *lab.Host) error { return h.Start(t.Context(), "postgresql") })
	waitUntil(t, "names that a new session shows", func() bool {
		s := latest(t.Context(), r)
		n, ok := s.Newest()
		return ok && n.K > 0 && psql(t, m, "SHOW synchronous_standby_names") == n.Names(s.Epoch)
	})
	shell(t, m, "echo 'an error' >> "+psql(t, m, "SHOW config_file"))
	must(t, m.Thaw("postgres: .*checkpointer"))
	psql(t, m, "CHECKPOINT; CHECKPOINT; CHECKPOINT; CHECKPOINT; SELECT pg_stat_clear_snapshot()")
	for range 20 {
		if s := latest(t.Context(), r); len(s.Configs) == 1 {
			t.Fatalf("commits wait for nobody, and yet %+v is settled", s.Configs)
		}
		time.Sleep(300 * time.Millisecond)
	}
}

// doubleTroubles: a standby's connection breaks without a word, and it comes again while its old walsender still waits for it.
func doubleTroubles(r *lab.Region) []trouble {
	mend := func(t *testing.T, r *lab.Region, m *lab.Host) {
		shell(t, standbysOf(r, m)[0], "nft delete table inet x")
	}
	all := []trouble{{
		name: "a standby comes again over a new connection", lasts: time.Second, outage: leaveOutage, heal: mend,
		inject: func(t *testing.T, r *lab.Region, m *lab.Host) {
			if !usesSlot(t, r, m) {
				t.Fatal("the standby uses no slot")
			}
			if looks, doubled := connectsAgain(t, r, m); looks > 0 { // PostgreSQL lets one connection use a slot
				t.Errorf("two walsenders of its name counted for %s", doubled)
			}
		},
	}}
	if r.Spec().Postgres == "10" {
		return all // primary_slot_name is in recovery.conf, and takes a restart
	}
	return append(all, trouble{
		name: "a standby without a slot comes again over a new connection", lasts: time.Second, outage: leaveOutage,
		inject: func(t *testing.T, r *lab.Region, m *lab.Host) {
			psql(t, standbysOf(r, m)[0], "ALTER SYSTEM SET primary_slot_name = ''; SELECT pg_reload_conf()")
			waitUntil(t, "a walsender without a slot", func() bool {
				return !usesSlot(t, r, m) && psql(t, m, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND client_addr = '"+standbysOf(r, m)[0].Addr()+"'") == "1"
			})
			looks, doubled := connectsAgain(t, r, m)
			for again := 0; looks == 0 && again < 3; again++ { // the watcher happened to look just then
				looks, doubled = connectsAgain(t, r, m)
			}
			t.Logf("two walsenders of its name counted for %s (%d looks), until the master's watcher ended them", doubled, looks)
			if looks == 0 || doubled > 5*time.Second { // PostgreSQL itself gives the old one up after 10 s
				t.Errorf("two walsenders of its name counted for %s (%d looks)", doubled, looks)
			}
		},
		heal: func(t *testing.T, r *lab.Region, m *lab.Host) {
			mend(t, r, m)
			psql(t, standbysOf(r, m)[0], "ALTER SYSTEM SET primary_slot_name = '"+standbysOf(r, m)[0].Name()+"'; SELECT pg_reload_conf()")
		},
	})
}

// usesSlot tells whether the first standby has one on its master.
func usesSlot(t *testing.T, r *lab.Region, m *lab.Host) bool {
	return psql(t, m, "SELECT count(*) FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid WHERE r.client_addr = '"+standbysOf(r, m)[0].Addr()+"'") == "1"
}

// connectsAgain has nothing more come through of a standby's connection, and its receiver end, so that another one connects. It looks at the master every 20 ms for 8 s, and tells how
// often two walsenders of its name streamed, and for how long.
func connectsAgain(t *testing.T, r *lab.Region, m *lab.Host) (looks int, doubled time.Duration) {
	victim := standbysOf(r, m)[0]
	s := latest(t.Context(), r)
	name := s.MemberOf(victim.Name())
	port := psql(t, m, "SELECT client_port FROM pg_stat_replication WHERE application_name = '"+name+"'")
	shell(t, victim, fmt.Sprintf(`nft add table inet x
nft add chain inet x input "{ type filter hook input priority 0; }"; nft add rule inet x input tcp dport %[1]s tcp sport %[2]d drop
nft add chain inet x output "{ type filter hook output priority 0; }"; nft add rule inet x output tcp sport %[1]s tcp dport %[2]d drop
pkill -TERM -f '[w]al ?receiver'`, port, m.Port()))
	seen := psql(t, m, `DO $$ DECLARE n int := 0; first timestamptz; last timestamptz; BEGIN
  FOR i IN 1..400 LOOP
    PERFORM pg_stat_clear_snapshot();
    IF (SELECT count(*) > 1 FROM pg_stat_replication WHERE state = 'streaming' AND application_name = '`+name+`') THEN
      n := n + 1; last := clock_timestamp(); first := coalesce(first, last);
    END IF;
    PERFORM pg_sleep(0.02);
  END LOOP;
  PERFORM set_config('lab.seen', n || ' ' || coalesce(extract(epoch FROM last - first), 0), false);
END $$; SELECT current_setting('lab.seen')`)
	var lasted float64
	if _, err := fmt.Sscan(seen, &looks, &lasted); err != nil {
		t.Fatalf("%q: %v", seen, err)
	}
	return looks, time.Duration(lasted * float64(time.Second))
}

// binaries is where the hosts have PostgreSQL's programs, in a shell.
const binaries = "$(ls -d /usr/lib/postgresql/15/bin /opt/postgresql/bin 2>/dev/null | head -n 1)"

// promoteAll promotes servers by hand. Its watcher stops each, perhaps before pg_ctl has seen that it is promoted.
func promoteAll(t *testing.T, hosts []*lab.Host) {
	t.Helper()
	atOnce(t, hosts, func(h *lab.Host) error {
		_, err := h.Shell(t.Context(), fmt.Sprintf("runuser -u postgres -- %s/pg_ctl promote -w -D %s; true", binaries, h.DataDir()))
		return err
	})
}

func names(hosts []*lab.Host) string {
	var all []string
	for _, h := range hosts {
		all = append(all, h.Name())
	}
	return strings.Join(all, ",")
}

func others(r *lab.Region, m *lab.Host) []*lab.Host {
	return slices.DeleteFunc(r.Hosts()[1:], func(h *lab.Host) bool { return h.Name() == m.Name() })
}

func standbysOf(r *lab.Region, m *lab.Host) []*lab.Host {
	return slices.DeleteFunc(r.Servers(), func(h *lab.Host) bool { return h.Name() == m.Name() })
}

// atOnce does something on hosts at one time.
func atOnce(t *testing.T, hosts []*lab.Host, do func(*lab.Host) error) {
	t.Helper()
	var done sync.WaitGroup
	for _, h := range hosts {
		done.Go(func() {
			if err := do(h); err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
}

// cutFrom drops what some hosts send to others.
func cutFrom(t *testing.T, from, to []*lab.Host) {
	t.Helper()
	for _, a := range from {
		for _, b := range to {
			must(t, a.CutFrom(t.Context(), b))
		}
	}
}

// bootAll boots whatever is down.
func bootAll(t *testing.T, r *lab.Region) {
	t.Helper()
	atOnce(t, slices.DeleteFunc(r.Hosts(), (*lab.Host).Running), func(h *lab.Host) error { return h.Boot(t.Context()) })
}

// bootsUnwatched boots an old master that has no watcher any more: it is read-only, and follows nobody. Then it gets it back.
func bootsUnwatched(t *testing.T, _ *lab.Region, m *lab.Host) {
	bootsReadOnly(t, m)
	time.Sleep(3 * time.Second)
	if out := psql(t, m, "SELECT pg_is_in_recovery()"); out != "t" {
		t.Errorf("without a watcher %s is not read-only: %s", m.Name(), out)
	}
	shell(t, m, "mv /root/pg_watcher.conf /etc/supervisor/conf.d/; supervisorctl update")
}

// stopElected kills the master's host, and stops the watcher of the one that is elected as soon as the quorum has elected it.
func stopElected(t *testing.T, r *lab.Region, m *lab.Host) {
	before := latest(t.Context(), r)
	must(t, m.Kill(t.Context()))
	for end := time.Now().Add(40 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		s := latest(t.Context(), r)
		if s.Epoch > before.Epoch && s.Phase != cluster.Electing {
			h := r.Host(s.Master)
			must(t, h.Freeze("pgctl watch"))
			t.Logf("%s is stopped while epoch %d is %s", h.Name(), s.Epoch, s.Phase)
			time.Sleep(60 * time.Second)
			must(t, h.Thaw("pgctl watch"))
			return
		}
		if time.Now().After(end) {
			t.Fatalf("nobody is elected: %+v", s)
		}
	}
}

// killWaiting has a commit wait for a standby that takes nothing, and kills its backend. PostgreSQL goes down with it, as it may not restart by itself,
// and nobody may read the row until a standby has it.
func killWaiting(t *testing.T, r *lab.Region, m *lab.Host) {
	if out := psql(t, m, "SHOW restart_after_crash"); out != "off" {
		t.Errorf("restart_after_crash is %s", out)
	}
	app := func(ctx context.Context, sql string) (string, error) { // directly, as what is kept out
		return r.Firstbox().Run(ctx, "env", "PGPASSWORD="+lab.AppPassword, "PGCONNECT_TIMEOUT=2", "psql", "-XAtq", "-v", "ON_ERROR_STOP=1",
			"-h", m.Addr(), "-p", fmt.Sprint(m.Port()), "-U", "app", "-d", "app", "-c", sql)
	}
	if _, err := app(t.Context(), "CREATE TABLE IF NOT EXISTS waiting (n int); TRUNCATE waiting"); err != nil {
		t.Fatal(err)
	}
	for _, h := range standbysOf(r, m) {
		must(t, h.Freeze("wal ?receiver"))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var done sync.WaitGroup
	done.Go(func() {
		if _, err := app(ctx, "SET application_name = 'waits'; INSERT INTO waiting VALUES (1)"); err == nil {
			t.Error("a commit did not wait")
		}
	})
	time.Sleep(700 * time.Millisecond)
	shell(t, m, `pid=$(runuser -u postgres -- psql -h /var/run/postgresql -p `+fmt.Sprint(m.Port())+` -XAtc "SELECT pid FROM pg_stat_activity WHERE application_name = 'waits'"); kill -9 $pid`)
	for ctx.Err() == nil {
		if out, err := app(ctx, "SELECT count(*) FROM waiting"); err == nil && out != "0" {
			t.Errorf("a row that no standby has was read")
			break
		}
	}
	done.Wait()
	for _, h := range standbysOf(r, m) {
		_ = h.Thaw("wal ?receiver") // its watcher may have ended it
	}
}

// impostors: while a standby takes nothing, others call themselves by its name, on its own host and on another one. What they release of commits
// until the master's watcher ends them is told; nothing may be lost, as that standby is still not elected with less.
func impostors(t *testing.T, r *lab.Region, m *lab.Host) {
	s := latest(t.Context(), r)
	victim := standbysOf(r, m)[0]
	name := s.MemberOf(victim.Name())
	must(t, victim.Freeze("wal ?receiver"))
	conn := fmt.Sprintf("host=%s port=%d user=replicator password=%s application_name=%s", m.Addr(), m.Port(), lab.ReplicatorPassword, name)
	for _, h := range []*lab.Host{victim, m} {
		shell(t, h, "rm -rf /tmp/impostor; install -d -o postgres /tmp/impostor")
	}
	for _, x := range []struct {
		on      *lab.Host
		command string
	}{
		{victim, "pg_receivewal --synchronous -D /tmp/impostor"},
		{m, "pg_receivewal --synchronous -D /tmp/impostor"},
		{m, "pg_basebackup --max-rate=2M -X stream -D /tmp/impostor/copy"},
	} {
		shell(t, x.on, fmt.Sprintf(`(runuser -u postgres -- timeout 8 %s/%s -d '%s' >>/tmp/impostor.log 2>&1 </dev/null &)`, binaries, x.command, conn))
	}
	seen := map[string]int{}
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		for line := range strings.Lines(psql(t, m, "SELECT client_addr, sync_state, state FROM pg_stat_replication WHERE application_name = '"+name+"'")) {
			seen[strings.TrimSpace(line)]++
		}
	}
	t.Logf("as %s there were %v", name, seen)
	_ = victim.Thaw("wal ?receiver")
}
