package nodes

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files of testdata/nodes anew")

// TestParseSites reads every folder of testdata/nodes, laid out as on a site: nodes/ROLE, zones/server.yaml.ZONE and
// pgctl.yaml. What Parse makes of it is in want.json, and in want.txt when it is refused.
func TestParseSites(t *testing.T) {
	folders, err := filepath.Glob("../../testdata/nodes/*")
	if err != nil || len(folders) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			files, cfg := readSite(t, folder)
			inv, err := Parse(files, cfg)
			if err != nil {
				compareGolden(t, filepath.Join(folder, "want.txt"), []byte(err.Error()+"\n"))
				return
			}
			var out bytes.Buffer
			encoder := json.NewEncoder(&out)
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", "  ")
			if err := encoder.Encode(struct {
				HA HA
				*Inventory
			}{inv.HA(), inv}); err != nil {
				t.Fatal(err)
			}
			compareGolden(t, filepath.Join(folder, "want.json"), out.Bytes())
		})
	}
}

func readSite(t *testing.T, folder string) (Files, Config) {
	t.Helper()
	files := Files{Nodes: map[string]File{}, Zones: map[string]File{}}
	for _, pattern := range []string{"nodes/*", "zones/*"} {
		paths, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Base(path)
			if zone, ok := ZoneOfFile(name); ok {
				files.Zones[zone] = File{name, data}
			} else {
				files.Nodes[name] = File{name, data}
			}
		}
	}
	data, err := os.ReadFile(filepath.Join(folder, "pgctl.yaml"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	cfg, err := ParseConfig(File{"pgctl.yaml", data})
	if err != nil {
		t.Fatal(err)
	}
	return files, cfg
}

func compareGolden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test -update writes it anew), got\n%s", path, got)
	}
}

func TestKind(t *testing.T) {
	const expected = "expected pgserver (PostgreSQL 10 and later), or pgmaster and pgslave (9.x)"
	for _, tc := range []struct {
		name  string
		roles []string
		want  string // kind, or error
	}{
		{"pg10", []string{RoleServer}, "pg10"},
		{"pg9", []string{RoleMaster, RoleSlave}, "pg9"},
		{"another role", []string{RoleServer, "webservice"}, "pg10"},
		{"none", []string{RolePool}, "the inventory has none of the node files pgserver, pgmaster and pgslave, " + expected + "; check the directory of the configuration"},
		{"both", []string{RoleServer, RoleMaster, RoleSlave}, "the inventory has node files of both kinds of site (/n/pgserver, /n/pgmaster, /n/pgslave), " + expected + "; remove those of the other kind"},
		{"server and slave", []string{RoleServer, RoleSlave}, "the inventory has node files of both kinds of site (/n/pgserver, /n/pgslave), " + expected + "; remove those of the other kind"},
		{"master alone", []string{RoleMaster}, "/n/pgmaster: stands alone: the inventory has no node file pgslave, " + expected + "; add pgslave"},
		{"slave alone", []string{RoleSlave}, "/n/pgslave: stands alone: the inventory has no node file pgmaster, " + expected + "; add pgmaster"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files := Files{Nodes: map[string]File{}}
			for _, role := range tc.roles {
				files.Nodes[role] = File{"/n/" + role, []byte("nodes=" + role)}
			}
			got := ""
			if inv, err := Parse(files, Config{}); err != nil {
				got = err.Error()
			} else {
				got = string(inv.Kind)
			}
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestHA(t *testing.T) {
	off, on := &Watcher{InactiveFailover: true}, &Watcher{}
	for _, tc := range []struct {
		name  string
		zones []*Watcher
		want  HA
	}{
		{"no zone", nil, HAAbsent},
		{"no section", []*Watcher{nil, nil}, HAAbsent},
		{"all on", []*Watcher{on, on}, HAEnabled},
		{"all off", []*Watcher{off, off}, HADisabled},
		{"one off", []*Watcher{on, off}, HADisabled},
		{"one without", []*Watcher{on, nil}, HADisabled},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var inv Inventory
			for _, w := range tc.zones {
				inv.Zones = append(inv.Zones, Zone{Watcher: w})
			}
			if got := inv.HA(); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestMasterListedAsSlave(t *testing.T) {
	_, err := Parse(Files{Nodes: map[string]File{
		RoleMaster: {"/n/pgmaster", []byte("nodes=ks0")},
		RoleSlave:  {"/n/pgslave", []byte("\nnodes=KS0")},
	}}, Config{})
	const want = `/n/pgslave:2: lists the host "KS0", which is listed as master too (/n/pgmaster:1), expected another host; remove one of the two`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
