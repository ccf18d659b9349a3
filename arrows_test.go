package pgctl_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/pgctl/pgctl/"

// mayImport are the arrows between the packages (docs/architecture.md): what each may import of this module. A package
// that is not listed is refused until somebody has decided where it stands.
var mayImport = map[string][]string{
	"pkg/nodes":                 {},
	"pkg/cluster":               {"pkg/nodes"},
	"pkg/remote":                {},
	"pkg/remote/remotetest":     {"pkg/remote"},
	"pkg/service":               {"pkg/remote", "pkg/cluster"},
	"pkg/postgres":              {"pkg/remote", "pkg/cluster", "pkg/service"},
	"pkg/postgres/postgrestest": {},
	"pkg/pgpool":                {"pkg/remote", "pkg/cluster", "pkg/service"},
	"pkg/observe":               {"pkg/nodes", "pkg/cluster", "pkg/remote", "pkg/service", "pkg/postgres", "pkg/pgpool"},
	"pkg/plan":                  {},
	"pkg/pg9":                   {"pkg/nodes", "pkg/cluster", "pkg/remote"},
	"pkg/failover":              {"pkg/pg9", "pkg/cluster", "pkg/plan", "pkg/observe", "pkg/postgres", "pkg/pgpool", "pkg/service", "pkg/remote", "pkg/nodes"},
	"pkg/consensus":             {},
	"pkg/deploy":                {"pkg/plan", "pkg/nodes", "pkg/cluster", "pkg/remote", "pkg/postgres"},
	"pkg/watch":                 {"pkg/nodes", "pkg/cluster", "pkg/remote", "pkg/postgres", "pkg/pgpool", "pkg/failover", "pkg/consensus"},
	"cmd/pgctl":                 {"pkg/nodes", "pkg/cluster", "pkg/remote", "pkg/observe", "pkg/postgres", "pkg/pgpool", "pkg/plan", "pkg/pg9", "pkg/failover", "pkg/deploy", "pkg/watch"},
	"internal/register":         {},
	"internal/lab":              {"internal/register"},
	"internal/sim":              {"pkg/cluster", "pkg/nodes"},
	"internal/sim/simctl":       {"internal/sim"},
	"internal/lab/labctl":       {"internal/lab"},
}

// onlyIn are libraries that have one home, with the reason.
var onlyIn = []struct{ library, home, why string }{
	{"github.com/spf13/cobra", "cmd/pgctl", "flags are wiring; a procedure that knows its flags cannot be called by the daemon"},
	{"github.com/olekukonko/tablewriter", "cmd/pgctl", "rendering belongs to the command line"},
	{"golang.org/x/crypto/ssh", "pkg/remote", "a Host is all that anything else knows of a machine"},
	{"github.com/hashicorp/raft", "pkg/consensus", "how the watchers agree is one package's affair; the rest proposes, and hears who leads"},
	{"go.etcd.io/bbolt", "pkg/consensus", "it is the engine's store, and holds nothing else"},
	{"github.com/anishathalye/porcupine", "internal/register", "it checks what tests saw, and nothing that is deployed needs it"},
	{"go.yaml.in/yaml/v3", "pkg/nodes cmd/pgctl", "site files are read in one place"},
}

// impure are what the pure packages must not see: I/O, a clock, goroutines.
var impure = []string{"os", "os/exec", "net", "io/fs", "log/slog", "sync", "context"}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func TestArrows(t *testing.T) {
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed, listed := mayImport[name]
		if !listed {
			t.Errorf("%s is not in the table of arrows: decide what it may import", name)
		}
		for _, path := range p.Imports {
			if own, ok := strings.CutPrefix(path, module); ok && listed && !slices.Contains(allowed, own) {
				t.Errorf("%s imports %s: it may import %v only", name, own, allowed)
			}
			for _, rule := range onlyIn {
				if (path == rule.library || strings.HasPrefix(path, rule.library+"/")) && !atHome(name, rule.home) {
					t.Errorf("%s imports %s, which only %s may: %s", name, path, rule.home, rule.why)
				}
			}
			if (name == "pkg/cluster" || name == "pkg/nodes") && slices.Contains(impure, path) {
				t.Errorf("%s imports %s: it is pure, callers do the I/O and hand in values", name, path)
			}
		}
	}
}

// atHome: a home's own test support (a folder below it) may import the library too.
func atHome(name, homes string) bool {
	return slices.ContainsFunc(strings.Fields(homes), func(home string) bool { return name == home || strings.HasPrefix(name, home+"/") })
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./cmd/...", "./pkg/...", "./internal/...")
	cmd.Env = append(cmd.Environ(), "GOFLAGS=-tags=lab")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, p)
	}
}
