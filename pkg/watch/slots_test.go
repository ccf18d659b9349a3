package watch

import (
	"testing"

	"github.com/pgctl/pgctl/pkg/postgres"
)

func TestSlots(t *testing.T) {
	keeps := func(name string) postgres.OwnSlot { return postgres.OwnSlot{Name: name, Physical: true, Keeps: true} }
	ready := func(name string) postgres.OwnSlot { return postgres.OwnSlot{Name: name, Physical: true} }
	used := func(name string) postgres.OwnSlot {
		return postgres.OwnSlot{Name: name, Physical: true, Keeps: true, Active: true}
	}
	with := func(all ...postgres.OwnSlot) []postgres.OwnSlot { return all }
	master := slots{host: "db-1", master: true, gated: true, named: "db_1", others: []slotUser{{"db2", "db2", true}, {"db3", "db3", true}}}
	standby := slots{host: "db2", gated: true, named: "db2", others: []slotUser{{"db-1", "", false}, {"db3", "mine", true}}}
	for name, tt := range map[string]struct {
		slots slots
		here  []postgres.OwnSlot
		edit  func(*slots)
		want  string
	}{
		"of a master":                         {slots: master, here: with(used("db2"), keeps("db3")), edit: func(s *slots) { s.settled = true }},
		"one that nobody came for yet":        {slots: master, here: with(used("db2"), ready("db3"))},
		"one that nobody came for":            {slots: master, here: with(used("db2"), ready("db3")), edit: func(s *slots) { s.settled = true }, want: "make the slot db3"},
		"none":                                {slots: master, here: with(used("db2")), want: "make the slot db3"},
		"for a server that is no standby":     {slots: master, here: with(used("db2")), edit: func(s *slots) { s.others[1].standby = false }},
		"for a standby that uses none":        {slots: master, here: with(used("db2")), edit: func(s *slots) { s.others[1].named = "" }},
		"a logical one of that name":          {slots: master, here: with(used("db2"), postgres.OwnSlot{Name: "db3"}), edit: func(s *slots) { s.settled = true }},
		"a master's own":                      {slots: master, here: with(used("db2"), used("db3")), edit: func(s *slots) { s.named = "" }, want: "name a slot for when it is a standby"},
		"a master's own where it is up to 11": {slots: master, here: with(used("db2"), used("db3")), edit: func(s *slots) { s.named, s.gated = "", false }},
		"of a standby":                        {slots: standby, here: with(ready("db_1"), ready("mine"))},
		"of a standby that has none":          {slots: standby, want: "have the slot db_1 ready"},
		"of a standby that lacks one":         {slots: standby, here: with(ready("db_1")), want: "have the slot mine ready"},
		"what a master left":                  {slots: standby, here: with(ready("db_1"), keeps("mine")), want: "drop the slot mine"},
		"one that somebody reads":             {slots: standby, here: with(ready("db_1"), used("mine"))},
		"another's":                           {slots: standby, here: with(ready("db_1"), ready("mine"), keeps("backup"))},
		"of a standby that names none":        {slots: standby, here: with(ready("db_1"), ready("mine")), edit: func(s *slots) { s.named = "" }},
		"where nobody uses any":               {slots: standby, edit: func(s *slots) { s.named, s.others[1].named = "", "" }},
		"where nobody uses any, of a master":  {slots: master, edit: func(s *slots) { s.named, s.others = "", []slotUser{{"db2", "", true}} }},
	} {
		t.Run(name, func(t *testing.T) {
			s := tt.slots
			s.others = append([]slotUser(nil), s.others...)
			s.here = tt.here
			if tt.edit != nil {
				tt.edit(&s)
			}
			what, do := s.next(nil)
			if what != tt.want || (do != nil) != (tt.want != "") {
				t.Errorf("got %q, want %q", what, tt.want)
			}
		})
	}
}
