package register

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

func read(value int64, call, end time.Duration) Op {
	return Op{Kind: Read, Value: value, Call: call, Return: end}
}

func write(value int64, call, end time.Duration) Op {
	return Op{Kind: Write, Value: value, Call: call, Return: end}
}

func swap(old, value int64, call, end time.Duration) Op {
	return Op{Kind: Swap, Old: old, Value: value, Call: call, Return: end}
}

func TestRegisterModel(t *testing.T) {
	for _, tt := range []struct {
		name    string
		history []Op
		good    bool
	}{
		{"nothing was asked", nil, true},
		{"one after the other", []Op{read(0, 1, 2), write(1, 3, 4), read(1, 5, 6), swap(1, 2, 7, 8), read(2, 9, 10)}, true},
		{"side by side, either is right", []Op{write(1, 1, 5), read(0, 2, 3), read(1, 3, 4)}, true},
		{"side by side, but it went back", []Op{write(1, 1, 9), read(1, 2, 3), read(0, 4, 5)}, false},
		{"an acknowledged write is lost", []Op{write(1, 1, 2), write(2, 3, 4), read(1, 5, 6)}, false},
		{"an acknowledged swap is lost", []Op{write(1, 1, 2), swap(1, 2, 3, 4), read(1, 5, 6)}, false},
		{"the old master is read beside the new one", []Op{write(1, 1, 2), write(2, 3, 4), read(2, 5, 6), read(1, 7, 8)}, false},
		{"two masters both swapped", []Op{write(1, 1, 2), swap(1, 2, 3, 6), swap(1, 3, 4, 7)}, false},
		{"somebody read what nobody wrote", []Op{write(1, 1, 2), read(7, 3, 4)}, false},
		{"read before it was written", []Op{read(1, 1, 2), write(1, 3, 4)}, false},
		{"an unknown write was done", []Op{write(1, 1, Never), read(1, 5, 6)}, true},
		{"an unknown write was not done", []Op{write(1, 1, Never), read(0, 5, 6)}, true},
		{"an unknown write was done late", []Op{write(1, 1, Never), write(2, 2, 3), read(2, 4, 5), read(1, 6, 7)}, true},
		{"an unknown write was seen and is gone", []Op{write(1, 1, Never), read(1, 2, 3), read(0, 4, 5)}, false},
		{"an unknown write was read before it was asked for", []Op{read(1, 1, 2), write(1, 3, Never)}, false},
		{"an unknown swap was done", []Op{swap(0, 1, 1, Never), read(1, 2, 3)}, true},
		{"an unknown swap cannot have been done", []Op{write(1, 1, 2), swap(0, 2, 3, Never), read(2, 4, 5)}, false},
		{"an unknown swap of an unknown write, nobody met either", []Op{write(1, 1, Never), swap(1, 2, 3, Never), read(0, 9, 10)}, true},
		{"an unknown swap of an unknown write, the swap was met", []Op{swap(1, 2, 3, Never), write(1, 1, Never), read(2, 9, 10), read(1, 11, 12)}, false},
		{"registers have nothing to do with each other", []Op{write(1, 1, 2), {Register: 1, Kind: Read, Call: 3, Return: 4}}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if v := Check(tt.history, time.Minute); v.Good() != tt.good {
				t.Errorf("it is %s", v)
			}
			if twin := unsettled(tt.history); twin != tt.good {
				t.Errorf("without settle it is good: %v", twin)
			}
		})
	}
}

// unsettled is the same question with all operations of unknown outcome in it.
func unsettled(history []Op) bool {
	for _, one := range byRegister(history) {
		if !porcupine.CheckOperations(model, operations(one)) {
			return false
		}
	}
	return true
}

// TestSettleAgainstItsTwin: what settle does changes no verdict, of small histories of all sorts.
func TestSettleAgainstItsTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	verdicts := map[bool]int{}
	for range 20000 {
		history := scrawl(rng)
		is, want := Check(history, time.Minute).Good(), unsettled(history)
		if is != want {
			t.Fatalf("settled it is %v, else %v: %v", is, want, history)
		}
		verdicts[want]++
	}
	if verdicts[true] < 1000 || verdicts[false] < 1000 {
		t.Errorf("the histories are too much alike: %v", verdicts)
	}
}

// scrawl is a small history that may be right or wrong: a register that mostly does what it should, and clients that do not always hear of it.
func scrawl(rng *rand.Rand) []Op {
	var history []Op
	var now time.Duration
	is, before := int64(0), int64(0)
	for value := int64(1); value <= int64(3+rng.IntN(5)); value++ {
		o := Op{Kind: Kind(rng.IntN(3)), Value: value, Call: now + time.Duration(rng.IntN(3)), Client: int(value)}
		o.Return = o.Call + 1 + time.Duration(rng.IntN(6))
		now += 2
		o.Old = []int64{is, is, before}[rng.IntN(3)]
		if o.Kind == Read {
			o.Value = []int64{is, is, before, value - 1}[rng.IntN(4)]
		} else if rng.IntN(3) == 0 {
			o.Return = Never
		}
		if o.Kind != Read && (o.Return != Never || rng.IntN(2) == 0) {
			before, is = is, o.Value
		}
		history = append(history, o)
	}
	return history
}

func TestUndecidedIsNoSuccess(t *testing.T) {
	var history []Op
	for n := range int64(40) { // a great many orders, and none of them is right
		history = append(history, write(n+1, 1, 100))
	}
	history = append(history, read(99, 50, 60))
	if v := Check(history, 50*time.Millisecond); v.Good() || len(v.Undecided) != 1 {
		t.Errorf("it is %s", v)
	}
}

func TestDraw(t *testing.T) {
	var page bytes.Buffer
	if err := Draw([]Op{write(1, 1, 2), read(0, 3, 4)}, 0, time.Minute, &page); err != nil || !strings.Contains(page.String(), "write 0: 1") {
		t.Errorf("%v, %d bytes", err, page.Len())
	}
}
