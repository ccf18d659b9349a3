package observe_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/observe"
	"github.com/pgctl/pgctl/pkg/pg9"
	"github.com/pgctl/pgctl/pkg/postgres/postgrestest"
	"github.com/pgctl/pgctl/pkg/remote/remotetest"
)

// What two hosts of a 9.3 site print, on Ubuntu 14.04: the facts of their files and processes, and what site.sh adds to them.
const (
	facts93 = "\x1eclock\n@CLOCK@\n\x1eaddresses\n@ADDRESS@ \n\x1eservices\npostgresql service postgresql exit=0\n" +
		"\x1epostgres\ndata_dir /var/lib/postgresql/9.3/main\npostmaster 100 S\nport 5432\n@MORE@disk 1000 500\n\x1eend\n"
	master93 = "promoted\nwal_timeline 00000002\nprocess wal writer process\nprocess wal sender process postgres 172.31.30.3(49298) streaming 0/A0569F8\n"
	slave93  = "signal\nwal_timeline 00000002\nupstream 172.31.30.2\nprocess wal receiver process   streaming 0/A0569F8\n"
)

// host93 answers commands as such a host does, and SQL as 9.3 does.
func host93(address, more string, rows ...string) remotetest.Handler {
	return func(cmd string, stdin io.Reader, stdout, _ io.Writer) int {
		switch {
		case strings.Contains(cmd, "exec perl"):
			_ = postgrestest.Backend{Version: "9.3.25", Rows: rows}.Serve(struct {
				io.Reader
				io.Writer
			}{stdin, stdout})
		case strings.Contains(cmd, "is_robot"):
			_, _ = io.WriteString(stdout, "cron /etc/cron.d/pg_failover:1:* * * * * root x\nname h001 172.31.30.2\nend\n")
		default:
			_, _ = io.WriteString(stdout, strings.NewReplacer("@CLOCK@", fmt.Sprintf("%.3f", float64(time.Now().UnixMicro())/1e6), "@ADDRESS@", address, "@MORE@", more).Replace(facts93))
		}
		return 0
	}
}

// TestSite93: a 9.3 site on Ubuntu 14.04 is seen whole: through OpenSSH 6.6, with its algorithms alone and no forwarding of sockets, and with
// SQL and process lists of 9.3.
func TestSite93(t *testing.T) {
	t.Setenv("PGPASSFILE", "/nonexistent")
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	hosts := []remotetest.Handler{
		host93("172.31.30.2", master93,
			`{"in_recovery":false,"received":null,"replayed":null,"paused":false,"replay_age":null,"standbys":[{"application_name":"walreceiver","client_addr":"172.31.30.3","state":"streaming","sync_state":"async","flush_lsn":"0/A0569F8","replay_lsn":"0/A0569F8"}],"sync_names":""}`,
			`{"in_recovery":false,"position":"0/A0569F8","segment":"00000002000000000000000A"}`),
		host93("172.31.30.3", slave93,
			`{"in_recovery":true,"received":"0/A0569F8","replayed":"0/A0569F8","paused":false,"replay_age":30,"standbys":null,"sync_names":""}`,
			`{"in_recovery":true,"position":null,"segment":null}`),
	}
	site := remotetest.NewSite(t, 2, func(i int, c *remotetest.Config) {
		c.Handler, c.NoStreamLocal = hosts[i], true
		c.Algorithms = ssh.Config{
			KeyExchanges: []string{"curve25519-sha256@libssh.org", "ecdh-sha2-nistp256", "diffie-hellman-group-exchange-sha256"},
			Ciphers:      []string{"aes128-ctr", "aes192-ctr", "aes256-ctr"},
			MACs:         []string{"hmac-sha2-256", "hmac-sha2-512"},
		}
		c.PublicKeyAuth, c.Keys = []string{ssh.KeyAlgoRSA}, []ssh.PublicKey{signer.PublicKey()}
	})
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(site.Dir, "rsa")
	if err := os.WriteFile(key, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	site.Options.IdentityFiles = []string{key}
	pool := site.Pool(t)
	inventory := &nodes.Inventory{Kind: nodes.KindPG9, Servers: []nodes.Server{{Host: "h001", Listed: nodes.ListedMaster}, {Host: "h002", Listed: nodes.ListedSlave}}}
	snap := (&observe.Site{Inventory: inventory, Hosts: pool.Host, Timeout: 10 * time.Second, Now: time.Now}).Snapshot(t.Context(), observe.Everything)

	d := cluster.Diagnose(snap)
	if d.Status != cluster.Healthy || d.Master != "h001" {
		t.Fatalf("master %q, %+v\n%+v\n%+v", d.Master, d.Findings, snap.Servers[0], snap.Servers[1])
	}
	slave := d.Standings[1]
	if !slave.Streaming || slave.Upstream != "h001" || slave.SyncState != "async" || *slave.LagBytes != 0 || snap.Servers[1].SQL.Timeline != 2 || snap.Servers[0].SQL.Timeline != 2 {
		t.Errorf("slave: %+v, %+v", slave, snap.Servers[1].SQL)
	}
	if s := snap.Servers[0].Service; s.Manager != "service" || s.State != cluster.ServiceActive {
		t.Errorf("service: %+v", s)
	}
	facts := pg9.AskState(t.Context(), pool.Host("h001"), "/var/lib/postgresql/9.3/main", "h001")
	if facts.Failure != nil || len(facts.Cron) != 1 || facts.Names["h001"][0] != "172.31.30.2" {
		t.Errorf("what the site adds: %+v, %+v", facts, facts.Failure)
	}
	checks, _ := pg9.Verify(pg9.Sight{Snap: snap, Hosts: map[string]pg9.Host{"h001": facts, "h002": facts}, Before: 0xA0569F8, Want: 0xA056A40, After: 0xA056A40})
	for _, c := range checks {
		if !c.OK {
			t.Errorf("verify: %+v", c)
		}
	}
}
