package postgres

import (
	"errors"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
)

func TestRoom(t *testing.T) {
	places := []Volume{{Path: "/srv/pg", Needed: 10 << 20}, {Path: "/srv/ts", Needed: 5 << 20}}
	tests := []struct {
		name, output string
		reuse        bool
		want, hint   string // of the refusal; "" none
	}{
		{name: "enough", output: "room 1 15360 0\nroom 1 15360 0\n"},
		{name: "two places on one file system", output: "room 1 15359 0\nroom 1 15359 0\n", want: "db2: a copy of the master takes 15.0 MiB in /srv/pg, and 15.0 MiB are free there", hint: "make room"},
		{name: "two file systems", output: "room 1 10240 0\nroom 2 5119 0\n", want: "takes 5.0 MiB in /srv/ts", hint: "make room"},
		{name: "the old data's space would do", output: "room 1 1024 14336\nroom 2 5120 0\n", want: "takes 10.0 MiB in /srv/pg, and 1.0 MiB are free", hint: "--reuse-space"},
		{name: "and is given up", output: "room 1 1024 14336\nroom 2 5120 0\n", reuse: true},
		{name: "and is not enough", output: "room 1 1024 2048\nroom 2 5120 0\n", reuse: true, want: "takes 10.0 MiB", hint: "make room"},
		{name: "mount point", output: "mount\nroom 1 15360 0\nroom 1 15360 0\n", want: "mount point", hint: "--reuse-space"},
		{name: "mount point, its space given up", output: "mount\nroom 1 15360 0\nroom 1 15360 0\n", reuse: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			room, err := parseRoom(tt.output, places)
			if err != nil {
				t.Fatal(err)
			}
			err = room.Refuse("db2", tt.reuse)
			var refusal *cluster.Refusal
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != "" && (!errors.As(err, &refusal) || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(refusal.Risks[0].Hint, tt.hint)):
				t.Errorf("got %v, expected %q with the hint %q", err, tt.want, tt.hint)
			}
		})
	}
	for _, bad := range []string{"", "room 1 2 3\n", "room 1 2\nroom 1 2 3\n", "room 1 2 3\nroom 1 2 3\nroom 1 2 3\n"} {
		if _, err := parseRoom(bad, places); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
