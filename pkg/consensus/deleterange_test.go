package consensus

import (
	"testing"

	"github.com/hashicorp/raft"
)

// TestDeleteRange: entries of many pages go at once, all of them too.
func TestDeleteRange(t *testing.T) {
	for name, tt := range map[string]struct{ low, high, first, last uint64 }{
		"the first":     {21, 150, 151, 219},
		"the last":      {100, 219, 21, 99},
		"the middle":    {100, 150, 21, 219},
		"all":           {21, 219, 0, 0},
		"more than all": {1, 300, 0, 0},
		"none":          {300, 400, 21, 219},
	} {
		t.Run(name, func(t *testing.T) {
			st, err := openStore(t.TempDir(), storeBudget)
			if err != nil {
				t.Fatal(err)
			}
			defer st.close()
			for i := uint64(21); i < 220; i++ {
				if err := st.StoreLog(&raft.Log{Index: i, Term: 3, Data: make([]byte, 300)}); err != nil {
					t.Fatal(err)
				}
			}
			if err := st.DeleteRange(tt.low, tt.high); err != nil {
				t.Fatal(err)
			}
			first, _ := st.FirstIndex()
			last, _ := st.LastIndex()
			if first != tt.first || last != tt.last {
				t.Errorf("%d to %d are left, expected %d to %d", first, last, tt.first, tt.last)
			}
		})
	}
}
