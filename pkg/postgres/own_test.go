package postgres

import (
	"testing"
	"time"
)

func TestOwnLook(t *testing.T) {
	onEach(t, func(t *testing.T, bin string) {
		r := newServer(t, bin, "db1")
		s := r.Look(within(t, 5*time.Second))
		t.Logf("%+v", s)
		s = r.up()
		t.Logf("%+v\n%+v", s, s.SQL)
		names, warned, err := r.Commit(within(t, 5*time.Second), CanaryName, "on")
		t.Log(names, warned, err)
		must(t, r.CloseClients(within(t, 10*time.Second)))
		s = r.Look(within(t, 5*time.Second))
		t.Logf("%+v\n%+v", s, s.SQL)
		must(t, r.OpenClients(within(t, 10*time.Second)))
		must(t, r.WriteRow(within(t, 10*time.Second), 5, "abc"))
		must(t, r.StartMaster(within(t, 10*time.Second)))
		s = eventually(t, r.Own, "master", func(s OwnSight) bool { return s.SQL != nil && !s.SQL.Recovery })
		t.Logf("%+v\n%+v", s, s.SQL)
	})
}
