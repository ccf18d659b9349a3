package postgres

import (
	"slices"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// TestKeptEpochs: rows beside the data count where they are of this very cluster, and what cannot be read is told.
func TestKeptEpochs(t *testing.T) {
	const rows = `"rows":[{"epoch":3,"master":"db1","nonce":"n","timeline":2,"fork":"0/5000"},{"epoch":4,"master":"db2","nonce":"o","timeline":3,"fork":"1/0"}]}`
	want := []cluster.Epoch{{Epoch: 3, Master: "db1", Nonce: "n", Timeline: 2, Fork: 0x5000}, {Epoch: 4, Master: "db2", Nonce: "o", Timeline: 3, Fork: 1 << 32}}
	tests := []struct {
		name, line string
		want       []cluster.Epoch
		fails      bool
	}{
		{"of this cluster", `{"system_id":"7711223107784584207",` + rows, want, false},
		{"of another cluster", `{"system_id":"7",` + rows, nil, false},
		{"cut off", `{"system_id":"7711223107784584207","rows":[{"epo`, nil, true},
		{"no position", strings.Replace(`{"system_id":"7711223107784584207",`+rows, "0/5000", "here", 1), nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := ParseFacts("data_dir /d\ncontrol " + control15 + "\nepochs " + tt.line + "\n")
			if (err != nil) != tt.fails || !slices.Equal(f.Data.Epochs, tt.want) {
				t.Errorf("got %+v, %v", f.Data.Epochs, err)
			}
		})
	}
}
