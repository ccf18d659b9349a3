package nodes

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// FuzzNodeList: every host passes CheckHost and stands on a line of the file, no host comes twice, and the list is
// the one that a second evaluator of bash's expansions arrives at.
func FuzzNodeList(f *testing.F) {
	for _, tc := range acceptedLists() {
		f.Add([]byte(tc.src))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		names, err := ParseNodeList(File{"f", data})
		if err != nil {
			checkProblems(t, err)
			return
		}
		lines := 1 + bytes.Count(data, []byte("\n"))
		seen := map[string]bool{}
		for _, n := range names {
			checkHosts(t, n.Host)
			if n.Line < 1 || n.Line > lines {
				t.Errorf("%q is on line %d of %d", n.Host, n.Line, lines)
			}
			if seen[n.Host] {
				t.Errorf("%q twice", n.Host)
			}
			seen[n.Host] = true
		}
		if len(names) == 0 {
			t.Error("an empty list")
		}
		if want, ok := expandList(t, shellSource(data)); ok && !slices.Equal(hosts(names), want) {
			t.Errorf("got %q, the other evaluator %q", hosts(names), want)
		}
	})
}

// expandList reads a node file that ParseNodeList has accepted, with another evaluator. It is false for a plain list,
// and for escapes, which expand.Literal leaves in place outside of quotes.
func expandList(t *testing.T, src []byte) ([]string, bool) {
	if bytes.Contains(bytes.ReplaceAll(src, []byte("\\\n"), nil), []byte("\\")) {
		return nil, false
	}
	tree, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(bytes.NewReader(src), "f")
	if err != nil {
		t.Fatal(err)
	}
	env := shellEnv{}
	for _, stmt := range tree.Stmts {
		var assigns []*syntax.Assign
		switch cmd := stmt.Cmd.(type) {
		case *syntax.CallExpr:
			if len(cmd.Args) > 0 {
				return nil, false
			}
			assigns = cmd.Assigns
		case *syntax.DeclClause:
			assigns = cmd.Args
		default:
			t.Fatalf("accepted %T", cmd)
		}
		for _, a := range assigns {
			if a.Name != nil && !a.Naked {
				env.assign(t, a)
			}
		}
	}
	return strings.FieldsFunc(strings.Join(env[listVariable], " "), func(r rune) bool { return strings.ContainsRune(" \t\n", r) }), true
}

type shellEnv map[string][]string

func (e shellEnv) Get(name string) expand.Variable {
	list, ok := e[name]
	if name == "IFS" || !ok {
		return expand.Variable{}
	}
	return expand.Variable{Set: true, Kind: expand.Indexed, List: list}
}

func (e shellEnv) Each(func(string, expand.Variable) bool) {}

func (e shellEnv) assign(t *testing.T, a *syntax.Assign) {
	cfg := &expand.Config{Env: e}
	name := a.Name.Value
	if a.Array == nil {
		value := ""
		if a.Value != nil {
			var err error
			if value, err = expand.Literal(cfg, a.Value); err != nil {
				t.Fatal(err)
			}
		}
		list := slices.Clone(e[name])
		if len(list) == 0 {
			list = []string{""}
		}
		if a.Append {
			value = list[0] + value
		}
		list[0] = value
		e[name] = list
		return
	}
	var words []*syntax.Word
	for _, elem := range a.Array.Elems {
		if elem.Value != nil {
			words = append(words, elem.Value)
		}
	}
	list, err := expand.Fields(cfg, words...)
	if err != nil {
		t.Fatal(err)
	}
	if a.Append {
		list = append(slices.Clone(e[name]), list...)
	}
	e[name] = list
}

// FuzzServerYAML: every host passes CheckHost and every number is in its range.
func FuzzServerYAML(f *testing.F) {
	f.Add([]byte("pg_watcher:\n  globals: 'a,b'\n  inactive_failover: 0\n  using_master_by_ts: '1'\n  down_after: 120s\n  lease: 9\n" +
		"  port: 5480\n  sync_mode: any 1\n  pg_node_info:\n    h1: {zone_id: z, pgpools: 'p1,p2'}\n"))
	f.Add([]byte("x: &x {zone_id: z, pgpools: [a]}\npg_watcher:\n  pg_node_info: {h: *x}\n  <<: *x\n"))
	f.Add([]byte(byteOrderMark + "# 中\r\npg_watcher: {inactive_failover: 1}\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		w, warnings, err := ParseServerYAML("z", File{"f", data})
		if err != nil {
			checkProblems(t, err)
			if w != nil {
				t.Error("a watcher beside an error")
			}
			return
		}
		if w == nil {
			return
		}
		for _, p := range warnings {
			if p.Line < 1 {
				t.Errorf("a warning without line: %v", p)
			}
		}
		checkHosts(t, w.Globals...)
		for _, n := range w.Nodes {
			checkHosts(t, append(n.Pools, n.Host)...)
			if checkZone(n.Zone) != nil {
				t.Errorf("zone %q", n.Zone)
			}
		}
		if w.DownAfter < w.Lease+StopTimeOf(w.DownAfter)+ClockDrift || StopTimeOf(w.DownAfter) < MinStopTime || w.Lease < minLease || w.Port < 1 || w.Port > 65535 ||
			w.StandbyDownAfter <= 0 || w.SpareAfter <= 0 || w.SyncMode != syncAll && w.SyncNeeded() < 1 {
			t.Errorf("out of range: %+v", w)
		}
	})
}

// FuzzConfig: hosts are checked, ports are in range and no value has a control character; a setting that is taken
// from the command line obeys the same rules.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(fullConfig), "postgres.port=5433")
	f.Add([]byte("ssh: {user: x}\nwatch: {zones: {a: b}}\n"), "watch.zones.a=b")
	f.Add([]byte("ssh: &s {identity_files: ['/a']}\npostgres: *s"), "ssh.identity_files=/a,~/b")
	f.Fuzz(func(t *testing.T, data []byte, assignment string) {
		c, err := ParseConfig(File{"f", data})
		if err != nil {
			checkProblems(t, err)
		}
		checkConfig(t, c)
		if err := c.Set(assignment); err == nil && !strings.Contains(assignment, "=") {
			t.Errorf("%q is taken", assignment)
		}
		checkConfig(t, c)
	})
}

func checkConfig(t *testing.T, c Config) {
	t.Helper()
	for host, zone := range c.Watch.Zones {
		checkHosts(t, host)
		if checkZone(zone) != nil {
			t.Errorf("zone %q", zone)
		}
	}
	for _, p := range []int{c.SSH.Port, c.Postgres.Port} {
		if p < 0 || p > 65535 {
			t.Errorf("port %d", p)
		}
	}
	for _, s := range append(c.SSH.IdentityFiles, c.SSH.User, c.Postgres.DataDir, c.Postgres.OSUser, c.Postgres.User, c.Postgres.DBName,
		c.Postgres.BinDir, c.Postgres.Service, c.Replication.User, c.Replication.PassFile, c.Pgpool.Conf, c.Pgpool.Service,
		c.Pgpool.User, c.Pgpool.DBName, c.Watch.Listen, c.Watch.Metrics, c.Watch.Watchdog, c.Watch.Notify) {
		if s != "" && checkText(s) != nil {
			t.Errorf("value %q", s)
		}
	}
}

// FuzzEditWatcherValue: an edit that is accepted changes the bytes of one value, reads back as the new value, and can
// be undone to the byte.
func FuzzEditWatcherValue(f *testing.F) {
	for _, seed := range []string{
		"a: 0\npg_watcher:\n  inactive_failover:  1   # 备注\n\n\n  x:   [1,2]\n",
		"pg_watcher:\n  \"inactive_failover\" : \"1\" #x\n", "pg_watcher: {inactive_failover: '0'}",
		byteOrderMark + "pg_watcher: {中文: '文', inactive_failover: 1, b: 1}\r\n",
		"pg_watcher:\n  inactive_failover: &f !!str  '1'\n", "pg_watcher:\n  inactive_failover: ! 1\n",
		"? pg_watcher\n: inactive_failover: 1\n", "---\npg_watcher:\n  inactive_failover: >\n    1\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		for _, value := range []string{"0", "1"} {
			out, err := EditWatcherValue(File{"f", data}, keyInactiveFailover, value)
			if !bytes.Equal(data, before) {
				t.Fatal("the input has changed")
			}
			if err != nil {
				checkProblems(t, err)
				continue
			}
			prefix := commonPrefix(data, out)
			suffix := commonPrefix(reversed(data[prefix:]), reversed(out[prefix:]))
			if changed := out[prefix : len(out)-suffix]; len(changed) > 1 || len(changed) == 1 && string(changed) != value {
				t.Errorf("put %q into %q", changed, data)
			}
			doc, problems := parseTree(File{"f", out})
			node, problem := watcherScalar("f", doc, keyInactiveFailover)
			if len(problems) > 0 || problem != nil || node.Value != value {
				t.Fatalf("%q reads back as %v (%v, %v)", out, node, problems, problem)
			}
			// The file as the rest of the package reads it must have taken the value too.
			if w, _, err := ParseServerYAML("z", File{"f", out}); err == nil && w.InactiveFailover != (value == "1") {
				t.Errorf("%q is read as %+v", out, w)
			}
			undone, err := EditWatcherValue(File{"f", out}, keyInactiveFailover, value)
			if err != nil || !bytes.Equal(undone, out) {
				t.Errorf("a second edit of %q gives %q, %v", out, undone, err)
			}
		}
	})
}

func commonPrefix(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

func reversed(b []byte) []byte {
	out := bytes.Clone(b)
	slices.Reverse(out)
	return out
}

func checkHosts(t *testing.T, names ...string) {
	t.Helper()
	for _, n := range names {
		if err := CheckHost(n); err != nil {
			t.Error(err)
		}
	}
}

// checkProblems holds every error to its form: of type Problems, sorted, one line each, and no raw control character.
func checkProblems(t *testing.T, err error) {
	t.Helper()
	problems, ok := err.(Problems) //nolint:errorlint // the type itself is the promise
	if !ok || len(problems) == 0 {
		t.Fatalf("%T: %v", err, err)
	}
	if !slices.Equal(problems, problems.sorted()) {
		t.Errorf("not sorted: %v", problems)
	}
	for _, p := range problems {
		if p.Path == "" || p.Message == "" || strings.ContainsFunc(p.Message, func(r rune) bool { return r < ' ' }) {
			t.Errorf("a bad message: %+q", p)
		}
	}
}
