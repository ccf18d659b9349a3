package postgres

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/remote"
)

// The heads of two real global/pg_control files, and what pg_controldata of the same version says of them.
const (
	control15 = "0fac488b8fc4036b1405000025770d0c010000000000000091c4036b000000001807500100000000180750010000000001000000010000000100000000000000d4020000000000000435000001000000"
)

func TestControl(t *testing.T) {
	f, err := ParseFacts("data_dir /d\ncontrol " + control15 + "\n")
	if err != nil {
		t.Fatal(err)
	}
	d := f.Data
	if d.SystemID != 7711223107784584207 || d.State != "shut down" || d.Timeline != 1 || d.Checkpoint.String() != "0/1500718" {
		t.Errorf("got %d, %q, timeline %d at %s", d.SystemID, d.State, d.Timeline, d.Checkpoint)
	}
	// 10 has one more position before the copy of the checkpoint
	raw, err := hex.DecodeString(control15)
	if err != nil {
		t.Fatal(err)
	}
	ten := append(append(bytes.Clone(raw[:40]), make([]byte, 8)...), raw[40:]...)
	ten[8], ten[9] = 1002&0xFF, 1002>>8
	f, err = ParseFacts("data_dir /d\ncontrol " + hex.EncodeToString(ten) + "\n")
	if err != nil || f.Data.Timeline != 1 || f.Data.Checkpoint.String() != "0/1500718" {
		t.Errorf("version 1002: %+v, %v", f.Data, err)
	}
}

func TestParseFactsRefuses(t *testing.T) {
	for _, text := range []string{
		"port 5432\n",
		"data_dir /d\ncontrol zz\n",
		"data_dir /d\ncontrol " + strings.Repeat("ff", 80) + "\n",
		"data_dir /d\nhistory 2 1 nonsense\n",
		"data_dir /d\nopening 2 0/1 1 00\n",
		"data_dir /d\ndisk many few\n",
	} {
		if f, err := ParseFacts(text); err == nil || !strings.HasPrefix(err.Error(), "cannot read ") {
			t.Errorf("%q gave %+v, %v", text, f, err)
		}
	}
}

// TestFactsScript runs the real script over a data directory made for it: running, on timeline 3, with two forks.
func TestFactsScript(t *testing.T) {
	dir := dataDir(t, "1", "/run/postgresql") // pid 1 is no postgres: a stale postmaster.pid
	control, err := hex.DecodeString(control15)
	if err != nil {
		t.Fatal(err)
	}
	const segment = 1 << 20 // the smallest that initdb allows
	wal := make([]byte, segment)
	copy(wal[0x148:], "the record that opened timeline 2")
	write := func(name string, data []byte) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("global/pg_control", control)
	write("pgctl.epochs", []byte(`{"system_id":"7711223107784584207","rows":[{"epoch":1,"master":"db1","nonce":"n","timeline":2,"fork":"0/3000148"}]}`+"\n"))
	write("recovery.conf", []byte("#primary_conninfo = 'host=old'\nstandby_mode = 'on'\nprimary_conninfo = 'user=repl password=s3cret host=172.31.30.2 port=5432'\n"))
	write("recovery.done", nil)
	write("pg_wal/00000002.history", []byte("1\t0/3000148\tno recovery target specified\n"))
	write("pg_wal/00000003.history", []byte("1\t0/3000148\tno recovery target specified\n\n2\t1/4000000\tno recovery target specified\n"))
	write("pg_wal/000000020000000000000030", wal)
	write("pg_wal/000000030000000100000040", wal)

	local := remote.NewPool(remote.Options{LocalName: "here"}).Host("here")
	out, err := local.Run(t.Context(), remote.Script(Script()+"\npg_locate \"$1\" ''; pg_facts\npg_unit /var/lib/postgresql/15/main\npg_unit \"$1\"", dir))
	if err != nil {
		t.Fatal(err)
	}
	facts, units, _ := strings.Cut(string(out.Stdout), "postgresql")
	f, err := ParseFacts(facts)
	if err != nil {
		t.Fatalf("%v in:\n%s", err, facts)
	}
	first := cluster.Fork{Parent: 1, At: 0x3000148}
	want := map[cluster.Timeline]cluster.History{2: {first}, 3: {first, {Parent: 2, At: 0x104000000}}}
	if !reflect.DeepEqual(f.Data.Histories, want) {
		t.Errorf("histories %v, expected %v", f.Data.Histories, want)
	}
	if got := f.Data.Openings[2]; !bytes.HasPrefix(got, []byte("the record that opened")) {
		t.Errorf("opening of timeline 2: %q", got)
	}
	if got := f.Data.Openings[3]; len(got) != 256-longHeader {
		t.Errorf("opening at a segment's start: %d bytes, expected all but its header", len(got))
	}
	if f.Data.Path != dir || f.Data.Port != 5433 || f.Data.SystemID == 0 || f.Disk == nil || f.Disk.Total <= 0 {
		t.Errorf("got %+v, disk %+v", f.Data, f.Disk)
	}
	if len(f.Data.Epochs) != 1 || f.Data.Epochs[0].Nonce != "n" {
		t.Errorf("kept rows %+v", f.Data.Epochs)
	}
	if !f.Data.Promoted || !f.Data.Signal || f.Data.Upstream != "172.31.30.2" || strings.Contains(facts, "s3cret") {
		t.Errorf("recovery.conf and recovery.done: %+v in:\n%s", f.Data, facts)
	}
	if p := f.Data.Postmaster; p.PID != 1 || p.Alive {
		t.Errorf("a pid that another program has now was taken for PostgreSQL: %+v", p)
	}
	if !strings.Contains(units, "postgresql.service") {
		t.Errorf("units: %q", units)
	}
}

func TestOpeningEndsWithItsPage(t *testing.T) {
	f, err := ParseFacts("data_dir /d\nopening 00000002 0/3001FF0 16777216 " + strings.Repeat("ab", 256) + "\n")
	if err != nil || len(f.Data.Openings[2]) != 16 {
		t.Errorf("16 bytes before the end of a page gave %d bytes, %v", len(f.Data.Openings[2]), err)
	}
}

func TestNoDataDirectory(t *testing.T) {
	local := remote.NewPool(remote.Options{LocalName: "here"}).Host("here")
	out, err := local.Run(t.Context(), remote.Script(Script()+"\npg_locate \"$1\" ''; pg_facts", filepath.Join(t.TempDir(), "none")))
	if err != nil {
		t.Fatal(err)
	}
	if f, err := ParseFacts(string(out.Stdout)); err != nil || f.Data != nil || !strings.HasPrefix(f.None, "no PostgreSQL data directory on this host: /") {
		t.Errorf("got %+v, %v", f, err)
	}
}

func FuzzParseFacts(f *testing.F) {
	f.Add("data_dir /d\nport 5432\npostmaster 12 S\ndisk 10 5\ncontrol " + control15 + "\nhistory 00000002 1 0/3000148\nopening 00000002 0/3000148 16777216 00ff\n")
	f.Fuzz(func(t *testing.T, text string) {
		facts, err := ParseFacts(text)
		if err == nil && facts.Data == nil && facts.Disk != nil {
			t.Error("a disk without a data directory")
		}
	})
}
