package failover

import (
	"errors"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// TestEndsBefore: an old master that was put back from a snapshot has every row that it had then, and not the WAL that it had later.
func TestEndsBefore(t *testing.T) {
	fork := cluster.Fork{Parent: 2, At: 0x5000}
	for name, tt := range map[string]struct {
		last cluster.Tail
		err  error
		want string
	}{
		"it ends where it was left":       {cluster.Tail{From: 0x4000, End: 0x5000}, nil, ""},
		"it has more":                     {cluster.Tail{From: 0x4000, End: 0x6000}, nil, ""},
		"there is more than was read":     {cluster.Tail{From: 0x4000, End: 0x4800, More: true}, nil, ""},
		"it ends before":                  {cluster.Tail{From: 0x4000, End: 0x4800}, nil, "ends at 0/4800, before 0/5000"},
		"not even its last checkpoint":    {cluster.Tail{From: 0x4000, End: 0x4000}, nil, "ends at 0/4000, before 0/5000"},
		"its WAL cannot be read, or gone": {cluster.Tail{}, errors.New("no segment"), "no segment"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := endsBefore(tt.last, tt.err, fork); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("got %q", got)
			}
		})
	}
}
