package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/postgres/postgrestest"
	"github.com/pgctl/pgctl/pkg/remote"
	"github.com/pgctl/pgctl/pkg/remote/remotetest"
)

// asked is a server whose every statement is kept, and answered by the first prefix that it has.
func asked(t *testing.T, said *[]string, answers map[string][][]string) *Server {
	return On(host(t, postgrestest.Backend{Version: "15.18", Answer: func(sql string, _ ...string) [][]string {
		*said = append(*said, sql)
		for prefix, rows := range answers {
			if strings.HasPrefix(sql, prefix) {
				return rows
			}
		}
		return nil
	}}, postgrestest.Backend{}), Settings{})
}

func TestMakeWatcherRole(t *testing.T) {
	const ask, alter, create = "SELECT coalesce(shobj_description", "ALTER ROLE pgctl LOGIN INHERIT NOSUPERUSER", "CREATE ROLE pgctl;"
	for name, tt := range map[string]struct {
		answer         [][]string
		alters, create bool
	}{
		"none yet":        {nil, true, true},
		"made before":     {[][]string{{roleMark}}, true, false},
		"the site's own":  {[][]string{{"our monitor"}}, false, false},
		"without comment": {[][]string{{""}}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			var said []string
			if err := asked(t, &said, map[string][][]string{ask: tt.answer}).MakeWatcherRole(t.Context()); err != nil {
				t.Fatal(err)
			}
			text := strings.Join(said, "\n")
			if strings.Contains(text, alter) != tt.alters || strings.Contains(text, create) != tt.create {
				t.Errorf("%q", said)
			}
		})
	}
}

func TestDropWatcherRole(t *testing.T) {
	const ask, there = "SELECT coalesce(shobj_description", "SELECT to_regnamespace"
	for name, tt := range map[string]struct {
		comment string
		there   []string
		want    string // the last statement; "" none
	}{
		"with the table": {roleMark, []string{"t", "t"}, "SET synchronous_commit = local;\nREVOKE ALL ON pgctl.epoch FROM pgctl;\nREVOKE ALL ON SCHEMA pgctl FROM pgctl;\nDROP ROLE pgctl"},
		"without":        {roleMark, []string{"f", "f"}, "SET synchronous_commit = local;\nDROP ROLE pgctl"},
		"the site's own": {"", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var said []string
			if err := asked(t, &said, map[string][][]string{ask: {{tt.comment}}, there: {tt.there}}).DropWatcherRole(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := said[len(said)-1]; got != tt.want && tt.want != "" || tt.want == "" && len(said) != 1 {
				t.Errorf("%q", said)
			}
		})
	}
}

func TestWatcherRoleFault(t *testing.T) {
	for want, row := range map[string][][]string{
		"":                            {{"t", "t", "t", "t"}},
		"there is no role pgctl":      nil,
		"has other attributes":        {{"f", "t", "t", "t"}},
		"is no member of pg_monitor":  {{"t", "f", "t", "t"}},
		"may not read pgctl.epoch":    {{"t", "t", "t", "f"}},
		"may not use the schema pgct": {{"t", "t", "f", "f"}},
	} {
		var said []string
		got, err := asked(t, &said, map[string][][]string{"SELECT rolcanlogin": row}).WatcherRoleFault(t.Context())
		if err != nil || !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%q, %v; expected %q", got, err, want)
		}
	}
}

// TestAdmitsWatcher: a refused login is told from a server that lets nobody in, and the watcher's role never goes to TCP.
func TestAdmitsWatcher(t *testing.T) {
	refuse := func(code, message string) postgrestest.Backend {
		return postgrestest.Backend{Refuse: &postgrestest.Refusal{Code: code, Message: message}}
	}
	for name, tt := range map[string]struct {
		unix          postgrestest.Backend
		noLogin, full bool
	}{
		"let in":                 {unix: postgrestest.Backend{Version: "15.18"}},
		"no line in pg_hba.conf": {unix: refuse("28000", `no pg_hba.conf entry for host "[local]"`), noLogin: true},
		"no such role":           {unix: refuse("28000", `role "pgctl" does not exist`), noLogin: true},
		"a password is wanted":   {unix: postgrestest.Backend{Version: "15.18", Password: "s3cret"}, noLogin: true},
		"no CONNECT":             {unix: refuse("42501", `permission denied for database "postgres"`), noLogin: true},
		"full":                   {unix: refuse("53300", "remaining connection slots are reserved for non-replication superuser connections"), full: true},
		"starting":               {unix: refuse("57P03", "the database system is starting up")},
	} {
		t.Run(name, func(t *testing.T) {
			err := On(host(t, tt.unix, postgrestest.Backend{Version: "15.18"}), Settings{User: "app"}).AdmitsWatcher(t.Context())
			if errors.Is(err, ErrNoLogin) != tt.noLogin || Full(err) != tt.full || (err == nil) != (name == "let in") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestWatcherUser: the relay becomes the role's own user, and says in its exit code that it cannot.
func TestWatcherUser(t *testing.T) {
	h := remotetest.NewFake(t, "db1")
	for code, want := range map[int]bool{77: true, 1: false} {
		h.PipeFunc = func(_ context.Context, cmd remote.Command) (net.Conn, error) {
			if !slices.Contains(cmd.Args, WatcherRole) {
				t.Errorf("it becomes another user: %q", cmd.Args[4:8])
			}
			return nil, &remote.ExitError{Host: "db1", Code: code, Stderr: []byte("no user pgctl on this host\n")}
		}
		if err := On(h, Settings{}).AdmitsWatcher(t.Context()); errors.Is(err, ErrNoLogin) != want {
			t.Errorf("code %d: %v", code, err)
		}
	}
}

// TestSign: a row says from where on data without it is not the master's. It is written where the timeline has none, whoever wrote that, and made by
// cluster.NewRow; the rows are kept beside the data.
func TestSign(t *testing.T) {
	one, deployed := []string{"1", "db1", "m", "1", "0/0"}, []string{"1", "db1", "m", "1", "0/4000"}
	two, formed := []string{"2", "db1", "o", "2", "0/5000"}, []string{"2", "db1", "o", "1", "0/4800"}
	for name, tt := range map[string]struct {
		timeline cluster.Timeline
		rows     [][]string
		want     []string // nil: none is written
	}{
		"the first timeline, unsigned":                {1, nil, []string{"1", "db1", "hand.n", "1", "0/7000"}},
		"the first timeline, signed":                  {1, [][]string{one}, nil},
		"the first timeline, signed late":             {1, [][]string{deployed}, nil},
		"the first timeline, which the quorum signed": {1, [][]string{deployed, formed}, nil},
		"a promotion": {2, [][]string{one}, []string{"2", "db1", "hand.n", "2", "0/5000"}},
		"a promotion that nobody signed, and another": {3, [][]string{one}, []string{"2", "db1", "hand.n", "3", "0/5000"}},
		"a promotion, signed":                         {2, [][]string{one, two}, nil},
		"a promotion, and the row of an upgraded one": {2, [][]string{{"1", "db9", "m", "2", "0/3000"}}, []string{"2", "db1", "hand.n", "2", "0/7000"}},
	} {
		t.Run(name, func(t *testing.T) {
			testSign(t, tt.rows, tt.want, tt.timeline)
		})
	}
}

func testSign(t *testing.T, rows [][]string, want []string, timeline cluster.Timeline) {
	t.Helper()
	var args []string
	kept := ""
	h := host(t, postgrestest.Backend{Version: "15.18", Answer: func(text string, values ...string) [][]string {
		switch {
		case strings.HasPrefix(text, "INSERT"):
			args = values
		case strings.HasPrefix(text, "SELECT pg_current_wal_insert_lsn"):
			return [][]string{{"0/7000"}}
		case strings.HasPrefix(text, "SELECT to_regclass"):
			return [][]string{{"t"}}
		case strings.HasPrefix(text, "SELECT epoch"):
			return rows
		case strings.HasPrefix(text, "SELECT system_identifier"):
			return [][]string{{"7"}}
		}
		return nil
	}}, postgrestest.Backend{})
	h.RunFunc = func(_ context.Context, c remote.Command) (remote.Result, error) {
		text := fmt.Sprint(c)
		switch {
		case strings.Contains(text, "00000002.history"):
			return remote.Result{Stdout: []byte("1\t0/5000\tno recovery target specified\n")}, nil
		case strings.Contains(text, "00000003.history"):
			return remote.Result{Stdout: []byte("1\t0/5000\tno recovery target specified\n\n2\t0/6000\tno recovery target specified\n")}, nil
		case !strings.Contains(text, "/data/pgctl.epochs"):
			t.Errorf("unexpected: %s", text)
		case c.Stdin != nil:
			all, err := io.ReadAll(c.Stdin)
			kept = string(all)
			return remote.Result{}, err
		}
		return remote.Result{}, nil
	}
	if err := On(h, Settings{}).SignEpoch(t.Context(), "/data", "n", timeline); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(args, want) {
		t.Errorf("got %q, want %q", args, want)
	}
	if !strings.HasPrefix(kept, `{"system_id":"7","rows":[`) {
		t.Errorf("kept beside the data: %q", kept)
	}
}

// TestSigned: a row of the present timeline is one, whoever wrote it, when it is kept beside the data too.
func TestSigned(t *testing.T) {
	row1, row2 := []string{"1", "db9", "m", "1", "0/0"}, []string{"2", "db9", "n", "2", "0/5000"}
	const kept = `epochs {"system_id":"7711223107784584207","rows":[{"epoch":2,"master":"db9","nonce":"n","timeline":2,"fork":"0/5000"}]}`
	for name, tt := range map[string]struct {
		rows [][]string
		file string
		want string
	}{
		"none":                         {nil, kept, "no row of timeline 2"},
		"of the timeline before":       {[][]string{row1}, kept, "no row of timeline 2"},
		"of a promotion":               {[][]string{row1, row2}, kept, ""},
		"of an upgraded cluster":       {[][]string{{"1", "db9", "m", "2", "0/4000"}}, kept, "no row of timeline 2"},
		"not kept beside the data":     {[][]string{row1, row2}, "", "pgctl.epochs does not keep the row of timeline 2"},
		"of another promotion is kept": {[][]string{{"2", "db9", "o", "2", "0/5000"}}, kept, "pgctl.epochs does not keep the row of timeline 2"},
	} {
		t.Run(name, func(t *testing.T) {
			h := host(t, postgrestest.Backend{Version: "15.18", Answer: func(text string, _ ...string) [][]string {
				if strings.HasPrefix(text, "SELECT to_regclass") {
					return [][]string{{"t"}}
				}
				return tt.rows
			}}, postgrestest.Backend{})
			h.RunFunc = func(context.Context, remote.Command) (remote.Result, error) {
				return remote.Result{Stdout: []byte("data_dir /data\ncontrol " + control15 + "\nhistory 00000002 1 0/5000\n" + tt.file + "\n")}, nil
			}
			reason, err := On(h, Settings{}).Signed(t.Context(), 2)
			if err != nil || (reason == nil) != (tt.want == "") || reason != nil && !strings.Contains(reason.Error(), tt.want) {
				t.Errorf("got %v, %v", reason, err)
			}
		})
	}
}
