package watch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// known is a state of the quorum, and the index of the command that made it: of two the higher one is the later. It is never changed in place.
type known struct {
	Index uint64        `json:"index"`
	State cluster.State `json:"state"`
	// Base is added to the index of the log: a quorum that is made anew counts from above all that any quorum before may have come to.
	Base uint64 `json:"base,omitempty"`
}

// resetStep is by how much the index of a quorum that is made anew is above: more than a log will ever have.
const resetStep = 1 << 40

// machine is cluster.State, replicated: a command is a cluster.Command in JSON, applied by cluster.Apply on every host alike.
type machine struct {
	known
	changed func(known) // called with the machine at rest: it may not block
}

// Apply gives the refusal as the result. Only what this program does not understand is an error, which stops the replica: to pass over
// what the others apply would make two truths of one log.
func (m *machine) Apply(index uint64, command []byte) (any, error) {
	var c cluster.Command
	if err := strictly(command, &c); err != nil {
		return nil, fmt.Errorf("a command that this version cannot read: %w", err)
	}
	next, err := cluster.Apply(m.State, c)
	if errors.Is(err, cluster.ErrUnknown) {
		return nil, err
	}
	if err == nil {
		m.known = known{Index: m.Base + index, State: next, Base: m.Base}
		m.changed(m.known)
	}
	return err, nil
}

// Snapshot is the state in JSON.
func (m *machine) Snapshot() []byte {
	text, err := json.Marshal(m.known)
	if err != nil {
		panic(err) // a struct of plain values
	}
	return text
}

// Restore takes a state of this version, or of one before.
func (m *machine) Restore(snapshot []byte) error {
	k, err := readKnown(snapshot)
	if err != nil {
		return err
	}
	m.known = k
	m.changed(k)
	return nil
}

// readKnown reads a state, and refuses one of a newer version.
func readKnown(text []byte) (known, error) {
	var k known
	if err := strictly(text, &k); err != nil {
		return known{}, fmt.Errorf("a state that this version cannot read: %w", err)
	}
	if k.State.Format > cluster.StateFormat || k.State.Feature > cluster.Features {
		return known{}, fmt.Errorf("%w: a state of format %d, level %d", cluster.ErrUnknown, k.State.Format, k.State.Feature)
	}
	return k, nil
}

// strictly reads JSON that may have no field which this version lacks.
func strictly(text []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}
