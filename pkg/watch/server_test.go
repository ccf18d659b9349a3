package watch

import (
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/postgres"
)

// TestReceiver: by what a receiver connected, when PostgreSQL says no more than the name of the service.
func TestReceiver(t *testing.T) {
	db1, db2 := postgres.Upstream{Host: "db1", Name: "db3", Epoch: 1}, postgres.Upstream{Host: "db2", Name: "db3", Epoch: 2}
	whole := func(pid int, host string) *postgres.OwnReceiver {
		return &postgres.OwnReceiver{PID: pid, Status: "streaming", SenderHost: host, Name: "db3"}
	}
	bare := func(pid int) *postgres.OwnReceiver { return &postgres.OwnReceiver{PID: pid, Status: "streaming"} }
	type look struct {
		file postgres.Upstream
		r    *postgres.OwnReceiver
		want string
	}
	for name, looks := range map[string][]look{
		"seen whole before":             {{db1, whole(7, "db1"), "db1"}, {db1, bare(7), "db1"}},
		"the file has changed since":    {{db1, whole(7, "db1"), "db1"}, {db2, bare(7), "db1"}},
		"new under one file":            {{db2, nil, ""}, {db2, bare(8), "db2"}, {db2, bare(8), "db2"}},
		"new, and the file is new":      {{db1, nil, ""}, {db2, bare(8), ""}, {db2, bare(8), ""}},
		"there at the first look":       {{db2, bare(8), ""}, {db2, bare(8), ""}},
		"another one after it":          {{db2, nil, ""}, {db2, bare(8), "db2"}, {db2, bare(9), "db2"}},
		"it has not connected":          {{db2, nil, ""}, {db2, &postgres.OwnReceiver{PID: 8}, ""}},
		"the file names nobody by then": {{postgres.Upstream{}, nil, ""}, {postgres.Upstream{}, bare(8), ""}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(nil, "db3", &memory{}, time.Hour)
			for i, l := range looks {
				s.last.Service = l.file
				got := ""
				if r := s.receives(l.r); r != nil {
					got = r.SenderHost
				}
				if got != l.want {
					t.Errorf("look %d: %q, expected %q", i, got, l.want)
				}
			}
		})
	}
}
