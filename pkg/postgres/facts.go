package postgres

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/remote"
)

// Facts is what the files of a server say, PostgreSQL running or not.
type Facts struct {
	Data *cluster.DataDir // nil: there is no one data directory
	None string           // why there is none; "" when there is one, or the answer did not come
	Disk *cluster.Disk
	// Asides are the paths and moments of what was set aside; their sizes are slow to count.
	Asides []cluster.Aside
}

// Facts asks for the facts of the files alone.
func (s *Server) Facts(ctx context.Context) (Facts, error) {
	out, err := s.host.Run(ctx, remote.Script(Script()+"\npg_locate \"$1\" \"$2\"\npg_facts\nexit 0", s.settings.DataDir, s.settings.PortText()))
	if err != nil {
		return Facts{}, err
	}
	return ParseFacts(string(out.Stdout))
}

// ParseFacts reads what pg_facts printed. A fact that cannot be read is left unknown and told by the error; the others are
// given all the same.
func ParseFacts(output string) (Facts, error) {
	var f Facts
	var errs []error
	for line := range strings.Lines(output) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case name == "":
		case name == "none":
			f.None = value
		case name == "data_dir":
			f.Data = &cluster.DataDir{Path: value, Histories: map[cluster.Timeline]cluster.History{}, Openings: map[cluster.Timeline][]byte{}}
		case f.Data == nil:
			errs = append(errs, fmt.Errorf("cannot read %q: expected data_dir first", strings.TrimSpace(line)))
		default:
			if err := f.read(name, strings.Fields(value)); err != nil {
				errs = append(errs, fmt.Errorf("cannot read the fact %s: %w", name, err))
			}
		}
	}
	return f, errors.Join(errs...)
}

// read takes one fact.
func (f *Facts) read(name string, value []string) (err error) {
	switch {
	case name == "missing" && len(value) == 0:
		f.Data.Missing = true
	case name == "aside" && len(value) >= 2:
		aside, err := parseAside(value[0], strings.Join(value[1:], " "))
		if err != nil {
			return err
		}
		f.Asides = append(f.Asides, aside)
	case name == "renewed" && len(value) > 0:
		f.Data.Renewed = &cluster.Renewed{}
		return json.Unmarshal([]byte(strings.Join(value, " ")), f.Data.Renewed)
	case name == "epochs" && len(value) > 0:
		return f.epochs(strings.Join(value, " "))
	case name == "port" && len(value) == 0: // not running, and not configured
	case name == "port" && len(value) == 1:
		f.Data.Port, err = strconv.Atoi(value[0])
	case name == "disk" && len(value) == 2:
		total, err1 := strconv.ParseInt(value[0], 10, 64)
		free, err2 := strconv.ParseInt(value[1], 10, 64)
		if err1 != nil || err2 != nil {
			return fmt.Errorf("expected two sizes in KiB")
		}
		f.Disk = &cluster.Disk{Total: total << 10, Free: free << 10}
	case name == "postmaster" && len(value) == 2:
		p := &cluster.Process{Alive: value[1] != "gone" && value[1] != "Z", Stopped: value[1] == "T" || value[1] == "t"}
		p.PID, err = strconv.Atoi(value[0])
		f.Data.Postmaster = p
	case name == "control" && len(value) == 1:
		return f.control(value[0])
	case name == "signal" && len(value) == 0:
		f.Data.Signal = true
	case name == "promoted" && len(value) == 0:
		f.Data.Promoted = true
	case name == "upstream" && len(value) <= 1:
		f.Data.Upstream = strings.Join(value, "")
	case name == "process" && len(value) > 1:
		f.Data.Processes = append(f.Data.Processes, cluster.Printable(strings.Join(value, " ")))
	case name == "wal_timeline" && len(value) == 1:
		f.Data.WALTimeline, err = parseTimeline(value[0], 16)
	case name == "history" && len(value) == 3:
		return f.history(value)
	case name == "opening" && len(value) == 4:
		return f.opening(value)
	default:
		return fmt.Errorf("found %q", strings.Join(value, " "))
	}
	return err
}

// Receiver is a standby's WAL receiver as the process list and recovery.conf show it, for versions that have no view of it; nil: none.
func (f *Facts) Receiver() *cluster.Receiver {
	if f.Data == nil {
		return nil
	}
	for _, title := range f.Data.Processes {
		// "wal receiver process   streaming 0/A0569F8", without "process" from 11 on
		if rest, ok := strings.CutPrefix(title, "wal receiver"); ok {
			status, _, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(rest), "process")), " ")
			return &cluster.Receiver{Status: cmp.Or(status, "starting"), SenderHost: f.Data.Upstream}
		}
	}
	return nil
}

// states are pg_control's in the order of enum DBState (PostgreSQL source, pg_control.h), in pg_controldata's words.
var states = [...]string{"starting up", "shut down", "shut down in recovery", "shutting down", "in crash recovery", "in archive recovery", "in production"}

// control reads the head of global/pg_control, which has not changed its order since 9.3 but for one field, dropped in
// 11 (pg_control_version 1100). Read from the file, it needs no pg_controldata, and never one of another version, which
// would print nonsense and exit 0. Numbers are little-endian: pgctl runs on amd64 and arm64.
func (f *Facts) control(text string) error {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) < 64 {
		return fmt.Errorf("expected at least 64 bytes of global/pg_control in hexadecimal")
	}
	return f.readControl(raw)
}

// readControl is control of the bytes themselves, at least 64.
func (f *Facts) readControl(raw []byte) error {
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	version, state := u32(raw[8:]), u32(raw[16:])
	if version < 900 || version > 3000 || int(state) >= len(states) {
		return fmt.Errorf("global/pg_control has version %d and state %d: not a format that pgctl knows", version, state)
	}
	copyAt := 40 // CheckPoint struct: redo position, timeline, previous timeline
	if version < 1100 {
		copyAt = 48
	}
	f.Data.SystemID = u64(raw)
	f.Data.State = states[state]
	f.Data.Checkpoint = cluster.LSN(u64(raw[32:]))
	f.Data.Timeline = cluster.Timeline(u32(raw[copyAt+8:]))
	return nil
}

func (f *Facts) history(value []string) error {
	timeline, err1 := parseTimeline(value[0], 16)
	parent, err2 := parseTimeline(value[1], 10)
	at, err3 := cluster.ParseLSN(value[2])
	if err1 != nil || err2 != nil || err3 != nil {
		return fmt.Errorf("expected a timeline, its parent and the position of the fork")
	}
	f.Data.Histories[timeline] = append(f.Data.Histories[timeline], cluster.Fork{Parent: parent, At: at})
	return nil
}

// pageSize is PostgreSQL's WAL page, XLOG_BLCKSZ; every page starts with a header, a longer one at a segment's start.
const (
	pageSize    = 8192
	shortHeader = 24
	longHeader  = 40
)

// opening takes the record that begins at a fork: past a page header, and no further than its page.
func (f *Facts) opening(value []string) error {
	timeline, err1 := parseTimeline(value[0], 16)
	at, err2 := cluster.ParseLSN(value[1])
	segment, err3 := strconv.ParseUint(value[2], 10, 32)
	raw, err4 := hex.DecodeString(value[3])
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil || segment < pageSize {
		return fmt.Errorf("expected a timeline, a position, the size of a segment and bytes in hexadecimal")
	}
	inPage := int(at % pageSize)
	raw = raw[:min(len(raw), pageSize-inPage)]
	switch {
	case inPage == 0 && uint64(at)%segment == 0:
		raw = raw[min(len(raw), longHeader):]
	case inPage == 0:
		raw = raw[min(len(raw), shortHeader):]
	}
	f.Data.Openings[timeline] = raw
	return nil
}

func parseTimeline(s string, base int) (cluster.Timeline, error) {
	n, err := strconv.ParseUint(s, base, 32)
	return cluster.Timeline(n), err
}
