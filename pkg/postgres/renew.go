package postgres

import (
	"context"
	_ "embed" // the scripts
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// The invariants of a renewal, on which every line of its scripts (renew.sh, swap.sh, clone.sh, rewind.sh) rests:
//
//   - Old data is not deleted before the new is complete, unless ReuseSpace asked for it. It is renamed, and stays aside.
//   - Nothing is changed while a postmaster runs on the data directory or another renewal does. Renewals hold a lock that every
//     program they start inherits, so two never write into one directory, even when a connection has died.
//   - Nothing is changed on the master but a checkpoint, and a replication connection is made.
//   - A directory under the name of the data directory is at every moment the old one whole or the new one whole (with
//     ReuseSpace: also one without pg_control, which nothing can start). The new one cannot start as a second master: its
//     standby.signal (recovery.conf up to 11) is in it before it gets that name; on a mount point, a moment after its
//     pg_control.
//   - The mark pgctl.renewed is the last thing that is written into a copy, when the rest is on disk. A copy without the mark of
//     this very renewal is no copy. Everything can be broken off anywhere and be run again.
//   - What pg_rewind began and did not end is not used again: its directory has another name then, DATA.pgctl-rewinding.

//go:embed run.pl
var runProgram string

//go:embed renew.sh
var renewScript string

//go:embed swap.sh
var swapScript string

// The methods of a renewal.
const (
	MethodRewind = "rewind"
	MethodClone  = "clone"
)

// Renewal is how the data directory of a stopped server is to become a copy of the master's.
type Renewal struct {
	Method string // MethodRewind, which becomes a clone where it cannot be done, or MethodClone
	// DataDir need not be there. Stamp (20060102T150405Z) names what is set aside: DATADIR.pgctl-STAMP.
	DataDir, Stamp string
	Upstream       ConnInfo // how the host reaches the master as the replication user
	Master         string   // what it becomes a copy of
	SystemID       uint64
	Timeline       cluster.Timeline
	// Fork is where the histories part, on the timeline that they had in common: of a rewind. The WAL from there on is set
	// aside, and a pg_rewind that sees the fork later than this is not trusted.
	Fork         cluster.LSN
	ForkTimeline cluster.Timeline
	// ReuseSpace gives up the old data before the copy is made: for a host without room for two, or whose data directory is a
	// mount point.
	ReuseSpace bool
}

var stampPattern = regexp.MustCompile(`^\d{8}T\d{6}Z$`)

// check refuses a renewal that is not said in full.
func (r Renewal) check() error {
	switch {
	case r.Method != MethodRewind && r.Method != MethodClone:
		return fmt.Errorf("renewal by %q: expected %s or %s", r.Method, MethodRewind, MethodClone)
	case !path.IsAbs(r.DataDir) || path.Clean(r.DataDir) != r.DataDir || strings.Count(r.DataDir, "/") < 2 || strings.ContainsAny(r.DataDir, "\n"):
		return fmt.Errorf("renewal of %q: expected the absolute path of a data directory", r.DataDir)
	case !stampPattern.MatchString(r.Stamp):
		return fmt.Errorf("renewal with the stamp %q: expected one such as 20060102T150405Z", r.Stamp)
	case r.Upstream["host"] == "" && r.Upstream["hostaddr"] == "":
		return fmt.Errorf("renewal of %s: its way to the master names no host", r.DataDir)
	case r.Master == "" || r.SystemID == 0 || r.Timeline == 0:
		return fmt.Errorf("renewal of %s: the master, its system identifier and its timeline must be known", r.DataDir)
	case r.Method == MethodRewind && (r.Fork == 0 || r.ForkTimeline == 0):
		return fmt.Errorf("renewal of %s: a rewind must know the fork", r.DataDir)
	}
	return nil
}

// mark is the text of pgctl.renewed. The stamp stands last, as the scripts compare what is before it.
func (r Renewal) mark(host, method string) (string, error) {
	text, err := json.Marshal(cluster.Renewed{Method: method, Host: host, Master: r.Master, SystemID: r.SystemID, Timeline: r.Timeline, Stamp: r.Stamp})
	return string(text), err
}

// Renew makes the data directory of the stopped server a copy of the master's history, and keeps the old data aside. It returns
// the method by which that was done: a rewind that cannot be done, or breaks off, becomes a clone. The server is left stopped, with the
// mark pgctl.renewed, its own configuration, an empty postgresql.auto.conf where it had none, and as a standby of nobody:
// whom it follows, and under which name, is for the caller to write. A *cluster.Refusal says that nothing was changed.
// progress is told how far it is; it may not block.
func (s *Server) Renew(ctx context.Context, r Renewal, master *Server, progress func(Progress)) (method string, err error) {
	if err := r.check(); err != nil {
		return "", err
	}
	tools, err := s.Tools(ctx, r.DataDir)
	if err != nil {
		return "", err
	}
	if r.Method == MethodRewind {
		err := s.rewind(ctx, r, tools, master, progress)
		var cannot *cannotRewind
		if !errors.As(err, &cannot) {
			return MethodRewind, err
		}
		progress(Progress{Note: "cannot be rewound, so it is cloned: " + cannot.Error()})
	}
	return MethodClone, s.clone(ctx, r, tools, master, progress)
}

// The exit codes of the scripts.
const (
	exitCannot  = 10 // this cannot be rewound, and was not changed
	exitBroke   = 11 // pg_rewind broke off: the data is of no use
	exitRefused = 12 // nothing was changed
	exitMount   = 13 // nothing was changed, as the data directory is a mount point
)

// refused turns what a script refused into a refusal, and keeps every other error.
func refused(err error) error {
	var f *failure
	switch {
	case !errors.As(err, &f):
		return err
	case f.code == exitRefused:
		return &cluster.Refusal{Risks: []cluster.Risk{{Evidence: f.Error(), Hint: "stop what is at work there, and run it again"}}}
	case f.code == exitMount:
		return &cluster.Refusal{Risks: []cluster.Risk{{Evidence: f.Error(), Hint: reuseHint}}}
	}
	return err
}
