package watch

import (
	"strings"
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
	lost := func(name string) postgres.OwnSlot { return postgres.OwnSlot{Name: name, Physical: true, Lost: true} }
	master := slots{host: "db-1", master: true, gated: true, named: "db_1", room: 2, others: []slotUser{{"db2", "db2", true, true}, {"db3", "db3", true, true}}}
	standby := slots{host: "db2", gated: true, named: "db2", room: 2, others: []slotUser{{"db-1", "", true, false}, {"db3", "mine", true, false}}}
	settled := func(s *slots) { s.settled = true }
	for name, tt := range map[string]struct {
		slots slots
		here  []postgres.OwnSlot
		edit  func(*slots)
		want  string
	}{
		"of a master":                         {slots: master, here: with(used("db2"), keeps("db3")), edit: settled},
		"one that nobody came for yet":        {slots: master, here: with(used("db2"), ready("db3"))},
		"one that nobody came for":            {slots: master, here: with(used("db2"), ready("db3")), edit: settled, want: "make the slot db3"},
		"none":                                {slots: master, here: with(used("db2")), want: "make the slot db3"},
		"for a server that follows nobody":    {slots: master, here: with(used("db2"), ready("db3")), edit: func(s *slots) { s.settled, s.others[1].follows = true, false }},
		"for one that is down":                {slots: master, here: with(used("db2"), keeps("db3")), edit: func(s *slots) { s.settled, s.others[1].follows = true, false }},
		"for a standby that uses none":        {slots: master, here: with(used("db2")), edit: func(s *slots) { s.others[1].named = "" }},
		"left of a standby that uses none":    {slots: master, here: with(used("db2"), keeps("db3")), edit: func(s *slots) { s.others[1].named = "" }, want: "drop the slot db3"},
		"a logical one of that name":          {slots: master, here: with(used("db2"), postgres.OwnSlot{Name: "db3"}), edit: settled},
		"a lost one":                          {slots: master, here: with(used("db2"), lost("db3")), edit: settled},
		"a master's own":                      {slots: master, here: with(used("db2"), used("db3")), edit: func(s *slots) { s.named = "" }, want: "name a slot for when it is a standby"},
		"a master's own without a gate":       {slots: master, here: with(used("db2"), used("db3")), edit: func(s *slots) { s.named, s.gated = "", false }},
		"a master's own that is another's":    {slots: master, here: with(used("db_1"), used("db3")), edit: func(s *slots) { s.named, s.others[0].named = "", "db_1" }},
		"a master's own without room":         {slots: master, here: with(used("db2"), used("db3")), edit: func(s *slots) { s.named, s.room = "", 1 }},
		"of a standby":                        {slots: standby, here: with(ready("db_1"), ready("mine"))},
		"of a standby that has none":          {slots: standby, want: "have the slot db_1 ready, have the slot mine ready"},
		"of a standby that lacks one":         {slots: standby, here: with(ready("db_1")), want: "have the slot mine ready"},
		"what a master left":                  {slots: standby, here: with(keeps("mine")), want: "drop the slot mine, have the slot db_1 ready"},
		"what a master left of one not heard": {slots: standby, here: with(keeps("db_1"), ready("mine")), edit: func(s *slots) { s.others[0].heard = false }, want: "drop the slot db_1"},
		"none for one not heard":              {slots: standby, here: with(ready("mine")), edit: func(s *slots) { s.others[0].heard = false }},
		"one that somebody reads":             {slots: standby, here: with(ready("db_1"), used("mine"))},
		"another's":                           {slots: standby, here: with(ready("db_1"), ready("mine"), keeps("backup"))},
		"of a standby that names none":        {slots: standby, here: with(ready("db_1"), ready("mine")), edit: func(s *slots) { s.named = "" }},
		"what a master lost":                  {slots: standby, here: with(ready("db_1"), lost("mine")), want: "drop the slot mine"},
		"of one that uses another's":          {slots: master, here: with(used("db2"), keeps("db3")), edit: func(s *slots) { s.others[0].named, s.others[1].named = "db3", "" }},
		"where nobody uses any":               {slots: standby, edit: func(s *slots) { s.named, s.others[1].named = "", "" }},
		"where nobody uses any, of a master":  {slots: master, edit: func(s *slots) { s.named, s.others = "", []slotUser{{"db2", "", true, true}} }},
	} {
		t.Run(name, func(t *testing.T) {
			s := tt.slots
			s.others = append([]slotUser(nil), s.others...)
			s.here = tt.here
			if tt.edit != nil {
				tt.edit(&s)
			}
			var what []string
			for _, task := range s.tasks(nil) {
				what = append(what, task.what)
			}
			if got := strings.Join(what, ", "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
