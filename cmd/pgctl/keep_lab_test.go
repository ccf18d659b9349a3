//go:build lab

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgctl/pgctl/internal/lab"
	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/watch"
)

// TestLabKeep: the watchers keep a master. PostgreSQL dies, its host dies and comes back, all watchers die.
func TestLabKeep(t *testing.T) {
	r := keptRegion(t, lab.Spec{})
	keepAccepted(t, r)
	var down *lab.Host
	for _, tr := range []trouble{
		{name: "all watchers killed", inject: func(t *testing.T, r *lab.Region, _ *lab.Host) { killWatchers(t, r) }, lasts: 4 * time.Second, outage: 2 * time.Second},
		{name: "postmaster killed", inject: func(t *testing.T, _ *lab.Region, m *lab.Host) { killPostmaster(t, m) }, lasts: 4 * time.Second, outage: 8 * time.Second},
		{
			name: "host killed", inject: func(t *testing.T, _ *lab.Region, m *lab.Host) { down = m; must(t, m.Kill(t.Context())) },
			heal: func(t *testing.T, _ *lab.Region, m *lab.Host) { bootsReadOnly(t, m) }, moves: true, outage: 24 * time.Second,
		},
	} {
		t.Run(tr.name, func(t *testing.T) { suffers(t, r, &tr) })
	}
	waitUntil(t, "overview to name the new master", func() bool {
		doc, _ := overviewOf(t, r, patient)
		return down != nil && value(doc.Region.Master) != "" && value(doc.Region.Master) != down.Name()
	})
}

// keptRegion is a region whose watchers keep it, with short timers, when all is well there.
func keptRegion(t *testing.T, spec lab.Spec) *lab.Region {
	t.Helper()
	spec.HAOn, spec.MasterByTS = true, true
	if spec.Watcher == nil {
		spec.Watcher = map[string]string{"down_after": "12s", "standby_down_after": "5s"}
	}
	r := region(t, spec)
	deploys(t, r, patient)
	whole(t, r, 90*time.Second)
	return r
}

// keepAccepted is what a site looks at first: supervisor's word, and both status files.
func keepAccepted(t *testing.T, r *lab.Region) {
	t.Helper()
	oneExecutor(t, r)
	for _, h := range watchedHosts(r) {
		if out := shell(t, h, "supervisorctl status pg_watcher"); !strings.Contains(out, "RUNNING") {
			t.Errorf("%s: %s", h.Name(), out)
		}
		m, n := monitorOf(t, h), nodeOf(t, h)
		if !well(&m.Status) {
			t.Errorf("%s: PGMonitor says %q", h.Name(), m.Status)
		}
		want := "available"
		if value(m.Quorum.Master) == h.Name() {
			want = "active"
		}
		if n.Status != want {
			t.Errorf("%s: PGNode says %q, expected %s", h.Name(), n.Status, want)
		}
	}
}

// oneExecutor waits until one is seen: the hosts are asked in turn, and the lead may move to a better seat meanwhile.
func oneExecutor(t *testing.T, r *lab.Region) {
	t.Helper()
	waitFor(t, "single executor", func() bool {
		active := 0
		for _, h := range watchedHosts(r) {
			if monitorOf(t, h).Status == "active" {
				active++
			}
		}
		return active == 1
	})
}

// trouble is one fault of a region that its watchers keep, and what may come of it.
type trouble struct {
	name    string
	inject  func(t *testing.T, r *lab.Region, m *lab.Host) // m is the master before it
	heal    func(t *testing.T, r *lab.Region, m *lab.Host) // nil: nothing needs to be done
	moves   bool                                           // another master is expected, and waited for before it is healed
	either  bool                                           // another master may come of it, or not
	lasts   time.Duration                                  // how long it is left alone otherwise
	outage  time.Duration                                  // that the application may see at the most, directly; 0 any
	unheard bool                                           // overview is not asked meanwhile: it is work for every host
	mended  time.Duration                                  // within which all is well again after it was healed; 0 means 90 s
}

// suffers has a fault done to the region under its applications, and sees that the region comes through: nothing that was acknowledged is lost, and
// all is well again by itself.
func suffers(t *testing.T, r *lab.Region, tr *trouble) outages {
	t.Helper()
	before := whole(t, r, 90*time.Second)
	tenMinutesLater(t, r)
	m := r.Host(before.Master)
	apps := applications(t, r)
	time.Sleep(time.Second)
	said := func() []string { return nil }
	if !tr.unheard {
		said = listen(t, r)
	}
	began := time.Now()
	tr.inject(t, r, m)
	if tr.moves {
		moves(t, r, before)
	}
	time.Sleep(tr.lasts)
	if tr.heal != nil {
		tr.heal(t, r, m)
	}
	healed := time.Now()
	limit := tr.mended
	if limit == 0 {
		limit = 90 * time.Second
	}
	after := whole(t, r, limit)
	t.Logf("%s: all is well %.1f s after it was mended, %.1f s after it began", tr.name, time.Since(healed).Seconds(), time.Since(began).Seconds())
	t.Logf("%s: overview said %s", tr.name, strings.Join(said(), "; "))
	t.Logf("%s: records: %s", tr.name, strings.Join(made(&before, &after), "; "))
	if moved := after.Master != before.Master; moved != tr.moves && !tr.either {
		t.Errorf("the master was %s and is %s", before.Master, after.Master)
	}
	out := apps.end(t, r, tr.name)
	if tr.outage != 0 && out.direct > tr.outage {
		t.Errorf("%s: nothing was acknowledged for %s, expected %s at the most", tr.name, out.direct, tr.outage)
	}
	return out
}

// outages are the longest times without an acknowledgement: of the application that goes to the master, and of the one that a pool served best.
type outages struct{ direct, pool time.Duration }

// apps are applications that write all the time: one to whoever is master, one through each pool.
type apps struct {
	names   []string
	writers []*lab.Writer
}

// writeEvery is how far apart the writes of an application are.
const writeEvery = 10 * time.Millisecond

func applications(t *testing.T, r *lab.Region) *apps {
	t.Helper()
	var a apps
	start := func(name string, spec lab.WriterSpec) {
		w, err := r.StartWriter(t.Context(), spec)
		must(t, err)
		a.names, a.writers = append(a.names, name), append(a.writers, w)
	}
	start("direct", lab.WriterSpec{Targets: r.Servers(), Port: r.Host("db1").Port(), Timeout: 2 * time.Second, Connect: 200 * time.Millisecond, Interval: writeEvery})
	for _, p := range r.Pools() {
		start("pool "+p.Name(), lab.WriterSpec{Targets: []*lab.Host{p}, Interval: writeEvery})
	}
	return &a
}

// end ends them, and sees that no server lacks what one of them was told to be done.
func (a *apps) end(t *testing.T, r *lab.Region, during string) (out outages) {
	t.Helper()
	for i, w := range a.writers {
		report, err := w.Stop()
		must(t, err)
		lost := 0
		for _, server := range r.Servers() {
			missing, err := report.Lost(t.Context(), server)
			if err != nil || len(missing) > 0 {
				t.Errorf("%s: %s lacks %d of %d acknowledged writes of %s: %v, %v", during, server.Name(), len(missing), report.Acknowledged, a.names[i], missing, err)
			}
			lost = max(lost, len(missing))
		}
		t.Logf("%s: %s: %.2f s without an acknowledgement; %d acknowledged, %d lost, %d unknown", during, a.names[i], report.LongestGap.Seconds(), report.Acknowledged, lost, report.Unknown)
		switch i {
		case 0:
			out.direct = report.LongestGap
		case 1:
			out.pool = report.LongestGap
		default:
			out.pool = min(out.pool, report.LongestGap)
		}
	}
	return out
}

// listen asks overview all the time, and tells which findings it had, each once.
func listen(t *testing.T, r *lab.Region) (stop func() []string) {
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	all := []string{}
	done.Go(func() {
		for ctx.Err() == nil {
			out, err := r.Firstbox().Exec(ctx, "pgctl", "overview", "-o", "json", "--timeout", "5s")
			var doc overviewDoc
			if err == nil && json.Unmarshal([]byte(out.Stdout), &doc) == nil {
				for _, code := range codes(doc) {
					if !slices.Contains(all, code) {
						all = append(all, code)
					}
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(4 * time.Second): // it is work for every host
			}
		}
	})
	return func() []string { cancel(); done.Wait(); return all }
}

// stateOf is what a host's watcher knows of the quorum.
func stateOf(ctx context.Context, h *lab.Host) (s cluster.State, index uint64) {
	text, err := h.ReadFile(ctx, "/var/lib/pgctl/raft/state.json")
	var known struct {
		Index uint64        `json:"index"`
		State cluster.State `json:"state"`
	}
	if err == nil && json.Unmarshal([]byte(text), &known) == nil {
		return known.State, known.Index
	}
	return s, 0
}

// latest is what the watcher that knows the most knows.
func latest(ctx context.Context, r *lab.Region) (latest cluster.State) {
	var best uint64
	for _, h := range append(r.Servers(), r.Arbiters()...) {
		if s, index := stateOf(ctx, h); index > best {
			latest, best = s, index
		}
	}
	return latest
}

// made are those that were made between two states.
func made(before, after *cluster.State) []string {
	var all []string
	for i, record := range after.History {
		if after.Number(i) > before.Number(len(before.History)-1) {
			all = append(all, strings.TrimSpace(fmt.Sprintf("%d %s %s (%s)", record.Epoch, record.Command, record.Host, record.Rule)))
		}
	}
	return all
}

// moves waits until another master than before lets clients in, and every pool that can be there is on it.
func moves(t *testing.T, r *lab.Region, before cluster.State) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		now := latest(t.Context(), r)
		if now.Epoch > before.Epoch && now.Phase == cluster.Serving && now.Opened && now.Master != before.Master && !slices.ContainsFunc(now.Pools, func(p string) bool { return r.Host(p).Running() && p != before.Master }) {
			return
		}
		if time.Now().After(end) {
			lastWords(t, r)
			t.Fatalf("nobody took over: %+v", now)
		}
	}
}

// whole waits until all is well: every watcher agrees on one master, every other server is in sync with it, over a slot, every pool is on it, and
// nobody keeps WAL for nobody.
func whole(t *testing.T, r *lab.Region, limit time.Duration) cluster.State {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(700 * time.Millisecond) {
		s, missing := wholeNow(t, r)
		if missing == "" {
			return s
		}
		if time.Now().After(end) {
			lastWords(t, r)
			t.Fatalf("not well within %s: %s", limit, missing)
		}
	}
}

func wholeNow(t *testing.T, r *lab.Region) (s cluster.State, missing string) {
	s = latest(t.Context(), r)
	n, ok := s.Newest()
	switch {
	case s.Phase != cluster.Serving || !s.Opened || len(s.Pools) > 0 || len(s.Quarantined) > 0 || len(s.Former) > 0:
		return s, fmt.Sprintf("epoch %d of %s: %s, opened %v, pools %v, quarantined %v, former %v", s.Epoch, s.Master, s.Phase, s.Opened, s.Pools, s.Quarantined, s.Former)
	case !ok || len(s.Configs) != 1 || n.K != len(r.Servers())-1 || len(n.Members) != n.K:
		return s, fmt.Sprintf("sync sets %+v", s.Configs)
	}
	for _, h := range append(r.Servers(), r.Arbiters()...) {
		text, err := h.ReadFile(t.Context(), "/var/run/pg_watcher.PGMonitor")
		var m watch.Monitor
		if err == nil {
			err = json.Unmarshal([]byte(text), &m)
		}
		at, _ := time.Parse(time.RFC3339, m.Time)
		if err != nil || m.Quorum == nil || m.Quorum.Epoch != s.Epoch || value(m.Quorum.Master) != s.Master || time.Since(at) > 5*time.Second {
			return s, fmt.Sprintf("%s: its watcher says %s, %v", h.Name(), text, err)
		}
	}
	for _, h := range r.Servers() {
		if out, err := h.PSQL(t.Context(), "SELECT NOT pg_is_in_recovery()"); err != nil || (out == "t") != (h.Name() == s.Master) {
			return s, fmt.Sprintf("%s says to be master: %s, %v", h.Name(), out, err)
		}
	}
	for _, p := range r.Pools() {
		if out, err := r.AppSQL(t.Context(), p, "SELECT pg_is_in_recovery()"); err != nil || out != "f" {
			return s, fmt.Sprintf("through the pool on %s: %s, %v", p.Name(), out, err)
		}
	}
	want := fmt.Sprint(len(r.Servers()) - 1)
	if out, err := r.Host(s.Master).PSQL(t.Context(), "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum')"); err != nil || out != want {
		return s, fmt.Sprintf("%s of %s standbys are in sync, %v", out, want, err)
	}
	if out, err := r.Host(s.Master).PSQL(t.Context(), "SELECT count(*) FROM pg_replication_slots WHERE active"); err != nil || out != want {
		return s, fmt.Sprintf("%s of %s standbys use a slot, %v", out, want, err)
	}
	for _, h := range r.Servers() {
		if out, err := h.PSQL(t.Context(), "SELECT string_agg(slot_name, ' ') FROM pg_replication_slots WHERE NOT active AND restart_lsn IS NOT NULL"); err != nil || out != "" {
			return s, fmt.Sprintf("%s keeps WAL that nobody reads: %s, %v", h.Name(), out, err)
		}
	}
	return s, ""
}

// lastWords is what the watchers logged last, and what they know.
func lastWords(t *testing.T, r *lab.Region) {
	t.Helper()
	for _, h := range append(r.Servers(), r.Arbiters()...) {
		out, err := h.Shell(context.WithoutCancel(t.Context()), "tail -n 40 /var/log/pgctl/watch.log | cut -c 1-400; echo; cat /var/run/pg_watcher.PGMonitor; cat /var/lib/pgctl/raft/state.json; cat /var/run/pg_watcher.PGNode; "+
			"tail -n 12 /var/log/postgresql/*.log /opt/postgresql/log/* 2>/dev/null; true")
		t.Logf("%s: %v\n%s", h.Name(), err, out)
	}
}

// tenMinutesLater has a watcher believe that the epoch began ten minutes ago: another failover soon after the last one would wait for twice
// as long. The arbiter, else the last server that is no master, has its memory changed; whoever knows of an epoch for the longest time is right.
func tenMinutesLater(t *testing.T, r *lab.Region) {
	t.Helper()
	s := latest(t.Context(), r)
	if s.Epoch < 2 {
		return
	}
	hosts := slices.DeleteFunc(append(r.Arbiters(), r.Servers()...), func(h *lab.Host) bool { return h.Name() == s.Master })
	h := hosts[0]
	must(t, h.Stop(t.Context(), "pg_watcher"))
	shell(t, h, `perl -pi -e 's/("epoch_at":)(-?\d+)/$1 . ($2 - 600000000000)/e' /run/pgctl/watch.json`)
	must(t, h.Start(t.Context(), "pg_watcher"))
	time.Sleep(3 * time.Second)
	whole(t, r, 90*time.Second)
}

// bootsReadOnly boots an old master, and asks it all the time whether it is one.
func bootsReadOnly(t *testing.T, h *lab.Host) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var done sync.WaitGroup
	writable := ""
	done.Go(func() {
		for ; ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
			if out, err := h.PSQL(ctx, "SELECT NOT pg_is_in_recovery()"); err == nil && out == "t" && writable == "" {
				writable = time.Now().Format(time.TimeOnly)
			}
		}
	})
	must(t, h.Boot(t.Context()))
	time.Sleep(2 * time.Second)
	cancel()
	done.Wait()
	if writable != "" {
		t.Errorf("%s took writes after its boot, at %s", h.Name(), writable)
	}
}

func killPostmaster(t *testing.T, h *lab.Host) {
	t.Helper()
	shell(t, h, "kill -9 $(head -n 1 "+h.DataDir()+"/postmaster.pid)")
}

// killWatchers kills every watcher at once; supervisor starts them again.
func killWatchers(t *testing.T, r *lab.Region) {
	t.Helper()
	var done sync.WaitGroup
	for _, h := range watchedHosts(r) {
		done.Go(func() {
			if err := h.KillService(t.Context(), "pg_watcher"); err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
}
