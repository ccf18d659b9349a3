package cluster_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
)

func TestParseSyncNames(t *testing.T) {
	for text, want := range map[string]cluster.SyncNames{
		"":                          {},
		"  ":                        {},
		"db2":                       {Needed: 1, Members: []string{"db2"}},
		"db2, db3":                  {Needed: 1, Members: []string{"db2", "db3"}},
		`"db-2","db""3"`:            {Needed: 1, Members: []string{"db-2", `db"3`}},
		"2 (db2, db3)":              {Needed: 2, Members: []string{"db2", "db3"}},
		`FIRST 2 ("db2", db3_k3f9)`: {Needed: 2, Members: []string{"db2", "db3_k3f9"}},
		"any 1 (*)":                 {Needed: 1, Any: true, Members: []string{"*"}},
		"first":                     {Needed: 1, Members: []string{"first"}},
	} {
		got, err := cluster.ParseSyncNames(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q gave %+v, %v; expected %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"FIRST 0 (a)", "a b", `"a`, "a,,b", "ANY 1 (a", "FIRST 1 ()"} {
		if got, err := cluster.ParseSyncNames(text); err == nil {
			t.Errorf("%q gave %+v, expected an error", text, got)
		}
	}
}

func TestBlocked(t *testing.T) {
	streaming := func(names ...string) (ws []cluster.Walsender) {
		for _, n := range names {
			ws = append(ws, cluster.Walsender{ApplicationName: n, State: "streaming"})
		}
		return ws
	}
	for _, tt := range []struct {
		names    string
		standbys []cluster.Walsender
		want     bool
	}{
		{"", nil, false},
		{"FIRST 1 (db2)", nil, true},
		{"FIRST 1 (db2)", streaming("DB2"), false},
		{"FIRST 2 (db2, db3)", streaming("db2", "db2"), true},
		{"FIRST 2 (db2, db3)", streaming("db2", "db3"), false},
		{"ANY 1 (db2, db3)", streaming("db3"), false},
		{"ANY 1 (db2, db3)", streaming("other"), true},
		{"*", streaming("other"), false},
		{"db2", []cluster.Walsender{{ApplicationName: "db2", State: "catchup"}}, true},
	} {
		in := cluster.Instance{SyncNames: tt.names, Standbys: tt.standbys}
		if got := in.Blocked(); got != tt.want {
			t.Errorf("%q with %v: blocked %v", tt.names, tt.standbys, got)
		}
	}
}

func FuzzParseSyncNames(f *testing.F) {
	f.Add(`ANY 2 ("db-2", db3)`)
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := cluster.ParseSyncNames(text); err == nil && (n.Needed == 0) != (len(n.Members) == 0) {
			t.Errorf("%q needs %d of %q", text, n.Needed, n.Members)
		}
	})
}

func TestSyncNamesChange(t *testing.T) {
	tests := []struct{ before, with, without string }{
		{"", `FIRST 1 ("db1_k3f9")`, ""},
		{`FIRST 1 ("db2")`, `FIRST 2 ("db2","db1_k3f9")`, `FIRST 1 ("db2")`},
		{`FIRST 2 ("db1","db2")`, `FIRST 2 ("db1_k3f9","db2")`, `FIRST 1 ("db2")`},
		{`FIRST 1 (db1_aaaa)`, `FIRST 1 ("db1_k3f9")`, ""},
		{`FIRST 1 (db2, db3)`, `FIRST 1 ("db2","db3","db1_k3f9")`, `FIRST 1 ("db2","db3")`},
		{`db2, db1`, `FIRST 1 ("db2","db1_k3f9")`, `FIRST 1 ("db2")`},
		{`FIRST 2 (db2, db1_k3f9, db3)`, `FIRST 2 ("db2","db1_k3f9","db3")`, `FIRST 2 ("db2","db3")`},
		{`ANY 1 (db2, db3)`, `ANY 1 ("db2","db3","db1_k3f9")`, `ANY 1 ("db2","db3")`},
		{`ANY 2 (db1, db3)`, `ANY 2 ("db1_k3f9","db3")`, `ANY 1 ("db3")`},
		{`FIRST 1 ("we""ird")`, `FIRST 2 ("we""ird","db1_k3f9")`, `FIRST 1 ("we""ird")`},
		{`FIRST 1 (*)`, `FIRST 1 ("*")`, `FIRST 1 ("*")`},
	}
	for _, tt := range tests {
		before, err := cluster.ParseSyncNames(tt.before)
		if err != nil {
			t.Fatal(err)
		}
		if got := before.With("db1", "db1_k3f9").String(); got != tt.with {
			t.Errorf("%s with db1: %s, expected %s", tt.before, got, tt.with)
		}
		if got := before.Without("db1").String(); got != tt.without {
			t.Errorf("%s without db1: %s, expected %s", tt.before, got, tt.without)
		}
	}
}

func TestMemberName(t *testing.T) {
	if got := cluster.MemberName("DB1", "k3f9"); got != "db1_k3f9" || !cluster.IsMember(got, "db1") {
		t.Errorf("got %s", got)
	}
	if long := strings.Repeat("h", 60); cluster.MemberName(long, "k3f9") != long {
		t.Error("a name that PostgreSQL would cut")
	}
}
