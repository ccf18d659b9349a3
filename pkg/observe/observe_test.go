package observe_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/observe"
	"github.com/pgctl/pgctl/pkg/postgres/postgrestest"
	"github.com/pgctl/pgctl/pkg/remote"
	"github.com/pgctl/pgctl/pkg/remote/remotetest"
)

const facts = "\x1eclock\n1700000000.5\n\x1eaddresses\n198.51.100.11 \n" +
	"\x1epostgres\ndata_dir /var/lib/postgresql/15/main\nport 5432\ndisk 1000 500\npostmaster 100 S\n" +
	"\x1emaster_file\nh001\n" +
	"\x1eservices\npostgresql systemd postgresql@15-main.service LoadState=loaded ActiveState=active SubState=running\n" +
	"\x1ewatcher\npg_watcher supervisor pg_watcher absent\n\x1eend\n"

var (
	masterRows  = []string{`{"in_recovery":false}`, `{"in_recovery":false,"position":"0/3000148","segment":"000000010000000000000003"}`}
	standbyRows = []string{
		`{"in_recovery":true,"received":"0/3000148","replayed":"0/3000148","checkpoint_timeline":1,"receiver":{"status":"streaming","conninfo":"host=h001 application_name=h002"}}`,
		`{"in_recovery":true}`,
	}
)

// answering is a handler that takes delay for every answer: recorded facts to the one command, recorded rows to SQL.
func answering(delay time.Duration, rows []string) remotetest.Handler {
	return func(cmd string, stdin io.Reader, stdout, _ io.Writer) int {
		if strings.Contains(cmd, "exec perl") {
			_ = postgrestest.Backend{Version: "15.18", Rows: rows, Delay: delay}.Serve(struct {
				io.Reader
				io.Writer
			}{stdin, stdout})
			return 0
		}
		time.Sleep(delay)
		_, _ = io.WriteString(stdout, facts)
		return 0
	}
}

// servers is a site of n servers in one process, the first one master.
func servers(t testing.TB, n int, each func(i int, c *remotetest.Config)) (*observe.Site, *remotetest.Site) {
	t.Helper()
	t.Setenv("PGPASSFILE", "/nonexistent")
	ssh := remotetest.NewSite(t, n, func(i int, c *remotetest.Config) {
		rows := standbyRows
		if i == 0 {
			rows = masterRows
		}
		c.Handler = answering(0, rows)
		if each != nil {
			each(i, c)
		}
	})
	inventory := &nodes.Inventory{Kind: nodes.KindPG10}
	for _, name := range ssh.Names {
		inventory.Servers = append(inventory.Servers, nodes.Server{Host: name})
	}
	return &observe.Site{Inventory: inventory, Hosts: ssh.Pool(t).Host, Timeout: 5 * time.Second, Now: time.Now}, ssh
}

func TestSnapshot(t *testing.T) {
	site, _ := servers(t, 2, nil)
	snap := site.Snapshot(t.Context(), observe.Everything)
	master, standby := snap.Servers[0], snap.Servers[1]
	if !master.Reached() || master.SQL == nil || master.SQL.InRecovery || master.SQL.Position.String() != "0/3000148" || master.SQL.Timeline != 1 {
		t.Errorf("master: %+v, SQL %+v, %+v", master.Common, master.SQL, master.SQLFailure)
	}
	if standby.SQL == nil || !standby.SQL.InRecovery || standby.SQL.Receiver.SenderHost != "h001" {
		t.Errorf("standby: %+v, %+v", standby.SQL, standby.SQLFailure)
	}
	if *master.MasterFile != "h001" || master.Data.Path != "/var/lib/postgresql/15/main" || master.Disk.Free != 500<<10 || master.Service.State != cluster.ServiceActive {
		t.Errorf("facts: %+v", master)
	}
	if c := master.Clock; c == nil || time.Now().Add(c.Offset).Sub(time.Unix(1700000000, 0)).Abs() > time.Minute {
		t.Errorf("clock: %+v", c)
	}
}

// TestADeadHostCostsItsRowOnly: whatever stage a host hangs at, and however many do, the answer comes with the timeout.
func TestADeadHostCostsItsRowOnly(t *testing.T) {
	stages := []remotetest.Stage{remotetest.HangGreet, remotetest.HangVersion, remotetest.HangKeys, remotetest.HangLogin, remotetest.HangAuth, remotetest.HangOpen, remotetest.HangExec, remotetest.HangOutput}
	site, ssh := servers(t, 2+len(stages), nil)
	for i, stage := range stages {
		ssh.Servers[2+i].SetHang(stage)
	}
	site.Timeout = time.Second
	began := time.Now()
	snap := site.Snapshot(t.Context(), observe.Everything)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %s with a timeout of %s", took, site.Timeout)
	}
	for i, s := range snap.Servers {
		if dead := i >= 2; dead == s.Reached() {
			t.Errorf("%s: reached %v (%+v)", s.Host, s.Reached(), s.Unreachable)
		}
		if s.Unreachable != nil && (s.Unreachable.Hint == "" || strings.HasPrefix(s.Unreachable.Message, s.Host)) {
			t.Errorf("%s: %+v", s.Host, s.Unreachable)
		}
	}
}

// TestFactsSurviveAFrozenServer: PostgreSQL accepts and never answers; what the files say is there all the same.
func TestFactsSurviveAFrozenServer(t *testing.T) {
	site, _ := servers(t, 1, func(_ int, c *remotetest.Config) {
		quick, frozen := answering(0, nil), answering(time.Hour, nil)
		c.Handler = func(cmd string, stdin io.Reader, stdout, stderr io.Writer) int {
			if strings.Contains(cmd, "exec perl") {
				return frozen(cmd, stdin, stdout, stderr)
			}
			return quick(cmd, stdin, stdout, stderr)
		}
	})
	site.Timeout = 500 * time.Millisecond
	s := site.Snapshot(t.Context(), observe.Everything).Servers[0]
	if !s.Reached() || s.Data == nil || s.SQL != nil || s.SQLFailure == nil || !strings.Contains(s.SQLFailure.Message, "gave no answer within") {
		t.Errorf("got %+v, %+v", s, s.SQLFailure)
	}
}

// TestFactsThatCameAreKept: the command hangs half-way, in the service manager.
func TestFactsThatCameAreKept(t *testing.T) {
	h := remotetest.NewFake(t, "db1")
	h.RunFunc = func(ctx context.Context, _ remote.Command) (remote.Result, error) {
		<-ctx.Done()
		return remote.Result{Stdout: []byte(facts[:strings.Index(facts, "\x1eservices")])}, ctx.Err()
	}
	site := &observe.Site{
		Inventory: &nodes.Inventory{Servers: []nodes.Server{{Host: "db1"}}}, Hosts: func(string) remote.Host { return h },
		Timeout: 20 * time.Millisecond, Now: time.Now,
	}
	s := site.Snapshot(t.Context(), observe.ServicesOnly).Servers[0]
	if !s.Reached() || s.Partial == nil || s.Data == nil || s.Service.State != "" {
		t.Errorf("got %+v", s)
	}
}

func TestInventory(t *testing.T) {
	h := remotetest.NewFake(t, "localhost").Expect(remotetest.Step{Contains: "/conf", Stdout: "\x1e/conf/nodes/pgserver\nnodes=\"db1 db2\"" +
		"\x1e/conf/variables/global/server.yaml.z1\nother: 1\n\x1e/conf/variables/global/server.yaml.z1.bak\nbroken: ["})
	inv, err := observe.Inventory(t.Context(), h, "/conf", nodes.Config{})
	if err != nil || len(inv.Servers) != 2 || len(inv.Zones) != 1 || inv.Zones[0].ID != "z1" {
		t.Errorf("got %+v, %v", inv, err)
	}
	h.Expect(remotetest.Step{Contains: "/conf"})
	var problems nodes.Problems
	if _, err = observe.Inventory(t.Context(), h, "/conf", nodes.Config{}); !errors.As(err, &problems) || !strings.HasPrefix(err.Error(), "/conf: ") {
		t.Errorf("an empty directory: %v", err)
	}
}

// BenchmarkSnapshot compares one host with hundreds, each answering every question after 50 ms.
func BenchmarkSnapshot(b *testing.B) {
	for _, bench := range []struct {
		name string
		n    int
	}{{"1-host", 1}, {"300-hosts", 300}} {
		b.Run(bench.name, func(b *testing.B) {
			site, _ := servers(b, bench.n, func(i int, c *remotetest.Config) {
				rows := standbyRows
				if i == 0 {
					rows = masterRows
				}
				c.Handler = answering(50*time.Millisecond, rows)
			})
			site.Timeout = 30 * time.Second
			check(b, site) // connects; what is measured is asking
			for b.Loop() {
				check(b, site)
			}
		})
	}
}

func check(b *testing.B, site *observe.Site) {
	b.Helper()
	for _, s := range site.Snapshot(b.Context(), observe.Everything).Servers {
		if s.SQL == nil {
			b.Fatalf("%s: %+v, %+v", s.Host, s.Unreachable, s.SQLFailure)
		}
	}
}
