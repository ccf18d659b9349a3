package consensus

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
)

// Every connection of raft begins with a greeting, and so does every round between two hosts (rounds.go):
//
//	the dialing side    ask: what the connection is for
//	the accepting side  its mark
//	the dialing side    its own mark, or why it refuses the other's
//	the accepting side  welcome, or why it refuses the other's
//
// Each side reads its own mark after the other has fixed what it knows (the dialing side before it asks, the accepting
// side before it answers), so a mark is never judged by a later one of the same host, however answers overtake each other.
const (
	greetingVersion = 1
	frameLimit      = 64 << 10
)

// What a connection is for.
const (
	forRaft  = "raft"
	forRound = "round"
)

// frame is one message of a greeting: its length (4 bytes, big endian), then JSON.
type frame struct {
	Version   int      `json:"version"`
	For       string   `json:"for,omitempty"`
	Formation string   `json:"formation,omitempty"` // what its sender would found, while it has nothing yet
	Mark      *mark    `json:"mark,omitempty"`
	Refusal   *refusal `json:"refusal,omitempty"`
}

// refusal tells the other end why its store is not accepted.
type refusal struct {
	WentBack   bool   `json:"went_back"`
	Superseded bool   `json:"superseded,omitempty"`
	Why        string `json:"why"`
}

// refuse tells the other end why. That this host itself is left behind is nothing against the other.
func refuse(conn net.Conn, err error) error {
	if errors.Is(err, errLeftBehind) {
		return nil
	}
	return writeFrame(conn, frame{Refusal: reason(err)})
}

func reason(err error) *refusal {
	return &refusal{WentBack: errors.Is(err, ErrWentBack), Superseded: errors.Is(err, ErrSuperseded), Why: err.Error()}
}

func writeFrame(conn net.Conn, f frame) error {
	f.Version = greetingVersion
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	_, err = conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), data...))
	return err
}

// readFrame reads one frame and not a byte more: what follows on the connection may be raft's.
func readFrame(conn net.Conn) (f frame, err error) {
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return f, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > frameLimit {
		return f, fmt.Errorf("a greeting of %d bytes, expected up to %d", size, frameLimit)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(conn, data); err != nil {
		return f, err
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return f, fmt.Errorf("the greeting cannot be read: %w", err)
	}
	if f.Version != greetingVersion {
		return f, fmt.Errorf("a greeting of version %d, expected %d", f.Version, greetingVersion)
	}
	return f, nil
}
