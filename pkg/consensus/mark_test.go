package consensus

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestJudge(t *testing.T) {
	seen := &sighting{Store: "s1", Since: 1, Run: "r2", Writes: 50}
	runs := []run{{"r1", 0}, {"r2", 40}}
	tests := []struct {
		name   string
		before *sighting
		mark   mark
		since  uint64
		want   error
	}{
		{"never seen", nil, mark{Store: "s1"}, 0, nil},
		{"never seen, with a past", nil, mark{Store: "s1", Writes: 7, Runs: []run{{"r1", 0}}}, 0, nil},
		{"nothing new", seen, mark{Store: "s1", Writes: 50, Runs: runs}, 1, nil},
		{"it wrote", seen, mark{Store: "s1", Writes: 51, Runs: runs}, 1, nil},
		{"it was started again", seen, mark{Store: "s1", Writes: 53, Runs: append(runs[:2:2], run{"r3", 52})}, 1, nil},
		{"it was started again and has not replayed its log", seen, mark{Store: "s1", Writes: 50, Runs: runs, Since: 0}, 1, nil},
		{"a copy of the same run", seen, mark{Store: "s1", Writes: 49, Runs: runs}, 1, ErrWentBack},
		{"a copy from before the run", seen, mark{Store: "s1", Writes: 40, Runs: runs[:1]}, 1, ErrWentBack},
		{"which others took further", seen, mark{Store: "s1", Writes: 90, Runs: append(runs[:1:1], run{"r9", 40})}, 1, ErrWentBack},
		{"a copy of the same run, which others took further", seen, mark{Store: "s1", Writes: 90, Runs: append(runs[:2:2], run{"r9", 49})}, 1, ErrWentBack},
		{"emptied", seen, mark{Store: "s2"}, 1, ErrOtherStore},
		{"emptied, and others spoke to it", seen, mark{Store: "s2", Writes: 3, Runs: []run{{"x", 0}}}, 1, ErrOtherStore},
		{"emptied, removed and joined again", seen, mark{Store: "s2", Writes: 3, Runs: []run{{"x", 0}}}, 120, nil},
		{"so its own log says", seen, mark{Store: "s2", Writes: 300, Since: 120, Runs: []run{{"x", 0}}}, 1, nil},
		{"went back, removed and joined again, not emptied", seen, mark{Store: "s1", Writes: 49, Runs: runs}, 120, ErrWentBack},
		{"the disk of before", &sighting{Store: "s2", Since: 120, Run: "x", Writes: 9}, mark{Store: "s1", Writes: 50, Since: 1, Runs: runs}, 120, ErrOtherStore},
		{"the disk of before, after yet another removal", &sighting{Store: "s2", Since: 120, Run: "x", Writes: 9}, mark{Store: "s1", Writes: 50, Since: 1, Runs: runs}, 140, ErrOtherStore},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			after, err := judge(tt.before, tt.mark, tt.since)
			if !errors.Is(err, tt.want) || tt.want == nil && (err != nil || after.Writes != tt.mark.Writes || after.Store != tt.mark.Store) {
				t.Errorf("got %+v, %v; expected %v", after, err, tt.want)
			}
		})
	}
}

func TestJudgeForgetsOldRuns(t *testing.T) {
	m := mark{Store: "s1"}
	for i := range maxRuns {
		m.Runs = append(m.Runs, run{fmt.Sprint("r", i+100), uint64(i + 100)})
	}
	m.Writes = 900
	if _, err := judge(&sighting{Store: "s1", Run: "r7", Writes: 90}, m, 0); err != nil {
		t.Errorf("a sighting from before the oldest run that is told: %v", err)
	}
	if _, err := judge(&sighting{Store: "s1", Run: "r7", Writes: 101}, m, 0); !errors.Is(err, ErrWentBack) {
		t.Errorf("a sighting that the oldest run contradicts: %v", err)
	}
}

// past is a model of a store: every write it ever made has a number of its own, so that a fork cannot be missed.
type past struct {
	mark   mark
	writes []int
}

func (p past) copy() past {
	p.mark.Runs = append([]run(nil), p.mark.Runs...)
	p.writes = append([]int(nil), p.writes...)
	return p
}

// TestJudgeAgainstAWholeHistory: over random lives of a store (writes, restarts, copies put back), judge refuses exactly the
// states that do not contain every write which was seen.
func TestJudgeAgainstAWholeHistory(t *testing.T) {
	wentBack, good := 0, 0
	for seed := range uint64(5000) {
		random := rand.New(rand.NewPCG(seed, 1))
		now, copies := past{mark: mark{Store: "s"}}, []past{}
		var kept *sighting
		var seen []int
		life, number := 0, 0
		for range 40 {
			switch random.IntN(6) {
			case 0, 1: // a write, the first of a run notes it
				if id := fmt.Sprint(life); len(now.mark.Runs) == 0 || now.mark.Runs[len(now.mark.Runs)-1].ID != id {
					now.mark.Runs = append(now.mark.Runs, run{id, now.mark.Writes})
				}
				number++
				now.mark.Writes++
				now.writes = append(now.writes, number)
			case 2:
				life++
			case 3:
				copies = append(copies, now.copy())
			case 4:
				if len(copies) > 0 && random.IntN(3) == 0 {
					now = copies[random.IntN(len(copies))].copy()
					life++
				}
			case 5:
				after, err := judge(kept, now.mark, 0)
				contains := len(now.writes) >= len(seen) && fmt.Sprint(now.writes[:len(seen)]) == fmt.Sprint(seen)
				if (err == nil) != contains {
					t.Fatalf("seed %d: the store has %v, seen were %v: %v", seed, now.writes, seen, err)
				}
				if err != nil {
					wentBack++
					continue
				}
				good++
				kept, seen = after, now.copy().writes
			}
		}
	}
	if wentBack < 1000 || good < 1000 {
		t.Errorf("%d went back, %d good: the model tries too little", wentBack, good)
	}
}
