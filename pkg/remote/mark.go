package remote

import (
	"bytes"
	"errors"
	"io"
	"sync/atomic"
)

// A login shell may print before it runs a command: sshd's bash reads ~/.bashrc also where nobody is there to read what it
// says. What a command prints is parsed, and files are written from it, so the output begins with a mark, and what comes
// before is dropped.
const (
	// MarkCommand stands before every command line that is sent over SSH, and prints Mark. Any login shell knows it.
	MarkCommand = `printf '\036\035\036'; `
	// Mark is what it prints: control characters that no greeting has.
	Mark = "\x1e\x1d\x1e"
)

// maxPreamble is how much may come before the mark, in bytes.
const maxPreamble = 1 << 20

// errNoMark is returned when a command ended well and never began: the login shell is no shell, or a forced command runs.
var errNoMark = errors.New("the login shell did not run the command: is there a forced command, or a shell that is none?")

// afterMark reads what comes after the mark.
type afterMark struct {
	from    io.Reader
	found   atomic.Bool
	pending []byte // before the mark: what was read so far; after it: what was read beyond it
}

func (a *afterMark) Read(p []byte) (int, error) {
	for !a.found.Load() {
		chunk := make([]byte, 4096)
		n, err := a.from.Read(chunk)
		a.pending = append(a.pending, chunk[:n]...)
		if i := bytes.Index(a.pending, []byte(Mark)); i >= 0 {
			a.pending = a.pending[i+len(Mark):]
			a.found.Store(true)
			break
		}
		if err != nil {
			return 0, err
		}
		if len(a.pending) > maxPreamble {
			return 0, errNoMark
		}
	}
	if len(a.pending) > 0 {
		n := copy(p, a.pending)
		a.pending = a.pending[n:]
		return n, nil
	}
	return a.from.Read(p)
}
