package postgres

import (
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/remote"
)

// withAsides is a data directory beside which two renewals set something aside, in a tablespace too, and other things lie.
func withAsides(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	files(t, dir, map[string]string{
		"main/PG_VERSION": "15", "main/global/pg_control": "x", "main/pg_tblspc/1": "-> " + dir + "/ts", "ts/PG_15_1/new": "",
		"main.pgctl-" + stampA + "/PG_VERSION": "15", "main.pgctl-" + stampA + "/pg_tblspc/1": "-> " + dir + "/ts/pgctl-" + stampA,
		"main.pgctl-" + stampA + "/pg_tblspc/2": "-> " + dir + "/elsewhere", "ts/pgctl-" + stampA + "/PG_15_1/old": "",
		"main.pgctl-20260203T040506Z/000000010000000000000001": "wal", "elsewhere/x": "", "main.pgctl-backup/PG_VERSION": "15",
		"main.pgctl-20270203T040506Z": "-> " + dir + "/elsewhere", "other.pgctl-" + stampA + "/x": "",
	})
	return dir
}

func TestAsides(t *testing.T) {
	dir := withAsides(t)
	local := remote.NewPool(remote.Options{LocalName: "here"}).Host("here")
	s := On(local, Settings{})
	found, err := s.Asides(t.Context(), dir+"/main")
	if err != nil || len(found) != 2 || found[0].Bytes == 0 {
		t.Fatalf("%+v, %v", found, err)
	}
	out, err := local.Run(t.Context(), remote.Script(Script()+"\npg_locate \"$1\" ''; pg_facts", dir+"/main"))
	if err != nil {
		t.Fatal(err)
	}
	f, errFacts := ParseFacts(string(out.Stdout))
	for i := range found {
		found[i].Bytes = 0
	}
	want := []cluster.Aside{
		{Path: dir + "/main.pgctl-" + stampA, Made: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), What: "data"},
		{Path: dir + "/main.pgctl-20260203T040506Z", Made: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC), What: "wal"},
	}
	if !reflect.DeepEqual(found, want) || !strings.Contains(errFacts.Error(), "pg_control") || len(f.Asides) != 2 || !reflect.DeepEqual(f.Asides, want) {
		t.Errorf("measured %+v\nfacts %+v, %v", found, f.Asides, errFacts)
	}
}

func TestRemoveAside(t *testing.T) {
	dir := withAsides(t)
	s := On(remote.NewPool(remote.Options{LocalName: "here"}).Host("here"), Settings{})
	before := tree(t, dir)
	for _, path := range []string{
		dir + "/main", dir, "/", dir + "/main.pgctl-backup", dir + "/other.pgctl-" + stampA, dir + "/main.pgctl-20270203T040506Z",
		dir + "/main.pgctl-" + stampA + "/../main", "main.pgctl-" + stampA, dir + "/main.pgctl-" + stampA + "/",
	} {
		if err := s.RemoveAside(t.Context(), dir+"/main", path); err == nil || !strings.Contains(err.Error(), "is not what pgctl set aside") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if after := tree(t, dir); after != before {
		t.Fatalf("a refusal changed something:\n%s", after)
	}
	inside := exec.CommandContext(t.Context(), "sleep", "60")
	inside.Dir = dir + "/main.pgctl-" + stampA + "/pg_tblspc"
	if err := inside.Start(); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveAside(t.Context(), dir+"/main", dir+"/main.pgctl-"+stampA); err == nil || !strings.Contains(err.Error(), "works in") {
		t.Errorf("a process works in it: %v", err)
	}
	_, _ = inside.Process.Kill(), inside.Wait()
	for range 2 { // what is removed already is no error
		if err := s.RemoveAside(t.Context(), dir+"/main", dir+"/main.pgctl-"+stampA); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for line := range strings.Lines(before) {
		if !strings.HasPrefix(line, "./main.pgctl-"+stampA) && !strings.HasPrefix(line, "./ts/pgctl-") {
			want = append(want, line)
		}
	}
	if got := tree(t, dir); got != strings.Join(want, "") {
		t.Errorf("got\n%s\nexpected\n%s", got, strings.Join(want, ""))
	}
}

// TestUnfinished: a data directory that a renewal took its name from is still known by it.
func TestUnfinished(t *testing.T) {
	local := remote.NewPool(remote.Options{LocalName: "here"}).Host("here")
	for _, name := range []string{"new", "rewinding"} {
		dir := t.TempDir()
		files(t, dir, map[string]string{"main.pgctl-" + name + "/PG_VERSION": "15", "main.pgctl-" + stampA + "/PG_VERSION": "15"})
		out, err := local.Run(t.Context(), remote.Script(Script()+"\npg_locate \"$1\" ''; pg_facts", dir+"/main"))
		if err != nil {
			t.Fatal(err)
		}
		f, err := ParseFacts(string(out.Stdout))
		if err != nil || f.Data == nil || !f.Data.Missing || f.Data.Path != dir+"/main" || f.Data.Postmaster.Alive || len(f.Asides) != 1 || f.Disk == nil {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
		if err := os.MkdirAll(dir+"/main", 0o700); err != nil {
			t.Fatal(err)
		}
		files(t, dir, map[string]string{"main/pgctl.renewed": `{"method":"clone","host":"db2","master":"db1","system_id":"77","timeline":2,"stamp":"20260102T030405Z"}` + "\n"})
		out, err = local.Run(t.Context(), remote.Script(Script()+"\npg_locate \"$1\" ''; pg_facts", dir+"/main"))
		if err != nil {
			t.Fatal(err)
		}
		f, err = ParseFacts(string(out.Stdout))
		want := cluster.Renewed{Method: "clone", Host: "db2", Master: "db1", SystemID: 77, Timeline: 2, Stamp: stampA}
		if err != nil || f.Data.Missing || f.Data.Renewed == nil || *f.Data.Renewed != want {
			t.Errorf("mark %+v, %v", f.Data, err)
		}
	}
}
