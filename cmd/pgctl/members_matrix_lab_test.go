//go:build lab

package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/internal/lab"
	"github.com/pgctl/pgctl/pkg/cluster"
)

// TestMatrixMembers: servers and arbiters come and go while HA is on, under a writer. The commands are those of docs/operating.md, "Servers and arbiters
// that come and go".
func TestMatrixMembers(t *testing.T) {
	for _, postgres := range []string{"15", "10"} {
		t.Run("PostgreSQL "+postgres, func(t *testing.T) {
			r := region(t, lab.Spec{
				Servers: 3, Arbiters: 2, OwnPools: true, Postgres: postgres, HAOn: true, MasterByTS: true,
				Watcher: map[string]string{"down_after": "12s", "standby_down_after": "5s"},
			})
			takeOut(t, r)
			deploys(t, r, patient)
			consists(t, r, []string{"db2"}, "db1 db2 arb1")
			for _, step := range []struct {
				name   string
				do     func(t *testing.T, r *lab.Region)
				sync   []string // who is in sync afterwards
				voters string
				outage time.Duration
			}{
				{"a server is added", addServer, []string{"db2", "db3"}, "db1 db2 db3 arb1 arb2", noOutage},
				{"a standby is retired", retireServer, []string{"db3"}, "db1 db3 arb1", noOutage},
				{"an arbiter is retired", retireArbiter, []string{"db3"}, "db1 db3 arb1", noOutage},
				{"a server whose disk is gone", replaceServer, []string{"db3"}, "db1 db3 arb1", leaveOutage},
			} {
				if !t.Run(step.name, func(t *testing.T) { changesMembers(t, r, step.do, step.sync, step.voters, step.outage) }) {
					return
				}
			}
		})
	}
}

// changesMembers has the members changed under writers, and sees what came of it.
func changesMembers(t *testing.T, r *lab.Region, do func(t *testing.T, r *lab.Region), sync []string, voters string, outage time.Duration) {
	t.Helper()
	w, err := r.StartWriter(t.Context(), lab.WriterSpec{Targets: []*lab.Host{r.Host("db1")}, Port: r.Host("db1").Port(), Timeout: 20 * time.Second, Interval: 30 * time.Millisecond})
	must(t, err)
	do(t, r)
	consists(t, r, sync, voters)
	report, err := w.Stop()
	must(t, err)
	for _, name := range append([]string{"db1"}, sync...) {
		if missing, err := report.Lost(t.Context(), r.Host(name)); err != nil || len(missing) > 0 {
			t.Errorf("%s lacks %d of %d acknowledged writes: %v", name, len(missing), report.Acknowledged, err)
		}
	}
	t.Logf("%.2f s without an acknowledgement; %d acknowledged", report.LongestGap.Seconds(), report.Acknowledged)
	if report.LongestGap > outage {
		t.Errorf("nothing was acknowledged for %s, expected %s at the most", report.LongestGap, outage)
	}
}

// consists waits until the quorum has these voters, and commits wait for these standbys.
func consists(t *testing.T, r *lab.Region, sync []string, voters string) {
	t.Helper()
	want := strings.Fields(voters)
	slices.Sort(want)
	said := ""
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Second) {
		s := latest(t.Context(), r)
		var in []string
		if n, ok := s.Newest(); ok && len(s.Configs) == 1 {
			for _, m := range n.Members {
				in = append(in, s.HostOf(m))
			}
		}
		slices.Sort(in)
		q := monitorOf(t, r.Host("db1")).Quorum
		if s.Phase == cluster.Serving && s.Opened && len(s.Pools) == 0 && slices.Equal(in, sync) && q != nil && q.Executor != nil && slices.Equal(q.Voters, want) && len(q.Silent) == 0 {
			break
		}
		said = fmt.Sprintf("%s, opened %v, pools %v, in sync %v, quorum %+v", s.Phase, s.Opened, s.Pools, in, q)
		if time.Now().After(end) {
			lastWords(t, r)
			t.Fatalf("expected %v in sync and %s to vote: %s", sync, voters, said)
		}
	}
	doc, _ := overviewOf(t, r, patient)
	for _, f := range doc.Findings {
		t.Logf("overview: %s %s %s: %s", f.Severity, f.Code, value(f.Host), f.Message)
	}
}

const rollOut = "/pitrix/upgrade/build_global_conf.sh && /pitrix/upgrade/update.sh -f all pitrix-global-conf"

// takeOut makes db3 a host that was just installed, and that nobody knows.
func takeOut(t *testing.T, r *lab.Region) {
	db3 := r.Host("db3")
	must(t, db3.Stop(t.Context(), "postgresql"))
	if out := pgctl(t, r, "unsync", "db3", "--yes", patient); out.Exit != exitDone {
		t.Fatalf("%+v", out)
	}
	psql(t, r.Host("db1"), "SELECT pg_drop_replication_slot('db3')")
	emptyServer(t, db3)
	shell(t, db3, "rm -f /pitrix/conf/global/server.yaml")
	shell(t, r.Firstbox(), `cd /pitrix/conf/variables/global; rm server.yaml.zone1c
sed -i '/^    db3:$/,/^      pgpools/d' server.yaml.*
echo 'nodes="db1 db2"' > /pitrix/conf/nodes/pgserver
`+rollOut)
}

// emptyServer takes the data away, as an installer leaves a server: with its configuration, and a cluster of its own or none.
func emptyServer(t *testing.T, h *lab.Host) {
	t.Helper()
	if h.Port() == 5432 {
		shell(t, h, "rm -rf "+h.DataDir()+"/*")
		return
	}
	shell(t, h, "cd "+h.DataDir()+" && find . -mindepth 1 -maxdepth 1 ! -name '*.conf' -exec rm -rf {} +")
}

func addServer(t *testing.T, r *lab.Region) {
	shell(t, r.Firstbox(), `cd /pitrix/conf/variables/global
cp -p server.yaml.zone1b server.yaml.zone1c
sed -i "0,/zone_id: 'zone1b'/s//zone_id: 'zone1c'/" server.yaml.zone1c
sed -i "/^  pg_node_info:/a\    db3:\n      zone_id: 'zone1c'\n      pgpools: 'pool1,pool2'" server.yaml.*
echo 'nodes="db1 db2 db3"' > /pitrix/conf/nodes/pgserver
`+rollOut)
	deploysEmpty(t, r)
	if out := pgctl(t, r, "upmaster", "db3", "--yes", patient); out.Exit != exitDone {
		t.Fatalf("%+v", out)
	}
}

func retireServer(t *testing.T, r *lab.Region) {
	shell(t, r.Firstbox(), `cd /pitrix/conf/variables/global; mv server.yaml.zone1b /root/
sed -i '/^    db2:$/,/^      pgpools/d' server.yaml.*
echo 'nodes="db1 db3"' > /pitrix/conf/nodes/pgserver
`+rollOut)
	consists(t, r, []string{"db3"}, "db1 db3 arb1")
	leaves(t, r.Host("db2"))
	must(t, r.Host("db2").Stop(t.Context(), "postgresql"))
}

func retireArbiter(t *testing.T, r *lab.Region) {
	shell(t, r.Firstbox(), `cd /pitrix/conf/variables/global; sed -i "s/globals: 'arb1,arb2'/globals: 'arb1'/" server.yaml.*
`+rollOut+`
echo 'nodes="arb1"' > /pitrix/conf/nodes/webservice`)
	consists(t, r, []string{"db3"}, "db1 db3 arb1")
	leaves(t, r.Host("arb2"))
}

// leaves takes the watcher away from a host that is retired, with what it remembers.
func leaves(t *testing.T, h *lab.Host) {
	t.Helper()
	shell(t, h, "supervisorctl stop pg_watcher; rm -f /etc/supervisor/conf.d/pg_watcher.conf; supervisorctl update; rm -rf /var/lib/pgctl /etc/pgctl")
}

func replaceServer(t *testing.T, r *lab.Region) {
	db3 := r.Host("db3")
	shell(t, db3, "supervisorctl stop pg_watcher; systemctl stop postgresql; rm -rf /var/lib/pgctl /etc/pgctl /usr/local/bin/pgctl /etc/supervisor/conf.d/pg_watcher.conf")
	emptyServer(t, db3)
	must(t, db3.Cut(t.Context()))
	time.Sleep(10 * time.Second) // as long as a host is away that gets new disks, and longer than standby_down_after
	must(t, db3.Heal(t.Context()))
	shell(t, r.Firstbox(), rollOut)
	deploysEmpty(t, r)
	if out := pgctl(t, r, "upmaster", "db3", "--yes", patient); out.Exit != exitDone {
		t.Fatalf("%+v", out)
	}
}

// deploysEmpty deploys to a region with a server that has no data yet: whether that is a master cannot be asked, so the role, which is there, is left out.
func deploysEmpty(t *testing.T, r *lab.Region) {
	t.Helper()
	out := pgctl(t, r, "deploy", "--yes", patient)
	if out.Exit != exitPartway || !strings.Contains(out.Stderr, "left out: the role pgctl and the row of the timeline (db3 ") {
		t.Fatalf("%+v", out)
	}
}
