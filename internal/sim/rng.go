package sim

import "time"

// rng is splitmix64: small, fast, and the same everywhere.
type rng struct{ state uint64 }

func (r *rng) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// n is a number below limit, which is above 0.
func (r *rng) n(limit int) int { return int(r.next() >> 1 % uint64(limit)) }

// one is true once in so many times.
func (r *rng) one(in int) bool { return r.n(in) == 0 }

// between is a time from low to high.
func (r *rng) between(low, high time.Duration) time.Duration {
	return low + time.Duration(r.n(int((high-low)/time.Millisecond)+1))*time.Millisecond
}
