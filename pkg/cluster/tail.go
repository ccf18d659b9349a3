package cluster

import "time"

// Tail is the WAL that a data directory holds of one timeline past a position: what is lost when the server is made to
// follow another history from there on.
type Tail struct {
	From, End    LSN       // End is where the last whole record ends; it is From when there is none
	Transactions int       // commits, commits of prepared transactions, and prepares
	First, Last  time.Time // when the first and the last of them were made, by that server's clock; zero when there is none
	More         bool      // there is more WAL than was read: End and Transactions are lower bounds
}

// Bytes is how much WAL that is.
func (t Tail) Bytes() int64 { return t.From.Behind(t.End) }

// And adds up the tails of two timelines of one server.
func (t Tail) And(other Tail) Tail {
	if t == (Tail{}) {
		return other
	}
	sum := t
	sum.End += LSN(other.Bytes())
	sum.Transactions += other.Transactions
	sum.More = t.More || other.More
	if sum.First.IsZero() {
		sum.First = other.First
	}
	if !other.Last.IsZero() {
		sum.Last = other.Last
	}
	return sum
}
