package postgres

import (
	"reflect"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/postgres/postgrestest"
)

func TestVitals(t *testing.T) {
	const row = `{"fsync":"on","full_page_writes":"off","synchronous_commit":"local",
		"role_settings":[{"role":"app","database":null,"value":"off"},{"role":null,"database":"d","value":"on"}],
		"file_errors":[{"file":"/etc/c.conf","line":3,"name":null,"error":"syntax error","known":false},{"file":"/x\u0007","line":4,"name":"work_mem","error":"bad","known":true}]}`
	h := host(t, postgrestest.Backend{Version: "15.18", Rows: []string{row}}, postgrestest.Backend{})
	got, err := On(h, Settings{}).Vitals(t.Context())
	want := cluster.Vitals{
		Fsync: "on", FullPageWrites: "off", SyncCommit: "local",
		Weaker:     []cluster.SyncSetting{{Role: "app", Value: "off"}, {Database: "d", Value: "on"}},
		FileErrors: []cluster.FileError{{File: "/etc/c.conf", Line: 3, Error: "syntax error"}, {File: "/x?", Line: 4, Name: "work_mem", Error: "bad", Known: true}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, rows := range [][]string{nil, {"[]"}} {
		h := host(t, postgrestest.Backend{Version: "15.18", Rows: rows}, postgrestest.Backend{})
		if v, err := On(h, Settings{}).Vitals(t.Context()); err == nil || !strings.Contains(err.Error(), "settings") {
			t.Errorf("%q: %+v, %v", rows, v, err)
		}
	}
}
