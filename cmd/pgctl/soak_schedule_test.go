package main

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// soakKind is a kind of fault, as far as a schedule needs to know it.
type soakKind struct {
	name        string
	organ       string        // two faults of one organ are never there at one time
	alone       bool          // nothing else happens meanwhile, and all is well before
	least, most time.Duration // how long it is there
}

// soakEvent is one fault of a schedule.
type soakEvent struct {
	kind  soakKind
	at    time.Duration
	lasts time.Duration
	pick  uint64 // whatever else it chooses
}

// soakRest is how long all is left alone before and after a fault that is alone.
const soakRest = 10 * time.Second

// soakSchedule is the faults of one seed: a new one after each gap, until the end. It goes through all kinds before it repeats one, as far as one may be
// beside those that are still there.
func soakSchedule(seed uint64, length, least, most time.Duration, kinds []soakKind) (schedule []soakEvent) {
	rng := rand.New(rand.NewPCG(seed, 0))
	between := func(least, most time.Duration) time.Duration {
		return least + time.Duration(rng.Int64N(int64(most-least)+1))
	}
	var deck []soakKind
	for at := between(least, most); at < length; at += between(least, most) {
		if len(deck) == 0 {
			deck = slices.Clone(kinds)
			rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		next := slices.IndexFunc(deck, func(k soakKind) bool { return fits(schedule, k, at) })
		if next < 0 {
			continue
		}
		k := deck[next]
		deck = slices.Delete(deck, next, next+1)
		schedule = append(schedule, soakEvent{kind: k, at: at, lasts: between(k.least, k.most), pick: rng.Uint64()})
	}
	return schedule
}

// fits: one may be there beside those that are still there.
func fits(schedule []soakEvent, k soakKind, at time.Duration) bool {
	return !slices.ContainsFunc(schedule, func(e soakEvent) bool {
		end := e.at + e.lasts
		return end > at && e.kind.organ == k.organ || (k.alone || e.kind.alone) && end+soakRest > at
	})
}

func TestSoakSchedule(t *testing.T) {
	kinds := []soakKind{{"a", "host", false, 10 * time.Second, 50 * time.Second}, {"b", "host", false, 1, 1}, {"c", "network", false, 5 * time.Second, 45 * time.Second}, {"d", "watcher", true, 20 * time.Second, 60 * time.Second}}
	beside := 0
	for seed := range uint64(200) {
		s := soakSchedule(seed, 10*time.Minute, 20*time.Second, time.Minute, kinds)
		if !slices.Equal(s, soakSchedule(seed, 10*time.Minute, 20*time.Second, time.Minute, kinds)) {
			t.Fatalf("seed %d has two schedules", seed)
		}
		for i, e := range s {
			if e.at >= 10*time.Minute || e.lasts < e.kind.least || e.lasts > e.kind.most {
				t.Errorf("seed %d: %+v", seed, e)
			}
			for _, before := range s[:i] {
				left := before.at + before.lasts - e.at
				if left > 0 && before.kind.organ == e.kind.organ || left > -soakRest && (before.kind.alone || e.kind.alone) {
					t.Errorf("seed %d: %+v beside %+v", seed, e, before)
				}
				if left > 0 {
					beside++
				}
			}
		}
		for _, k := range kinds {
			if !slices.ContainsFunc(s, func(e soakEvent) bool { return e.kind.name == k.name }) {
				t.Errorf("seed %d never has %s", seed, k.name)
			}
		}
	}
	if beside < 100 {
		t.Errorf("two faults were there at one time only %d times", beside)
	}
}
