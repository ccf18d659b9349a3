package postgres

import (
	"context"
	_ "embed" // the script
	"fmt"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/remote"
)

//go:embed room.sh
var roomScript string

// Room is what a copy of the master takes on a host, and what there is.
type Room struct {
	MountPoint bool // the data directory is one: it cannot be renamed, so a copy has to replace it in place
	Volumes    []Volume
}

// Volume is one file system that a copy goes to.
type Volume struct {
	Path              string // the data directory or the tablespace that lies there
	Needed, Free, Old int64  // bytes; Old is what the present data takes, 0 where there is room without it
	device            string
}

// Needs compares the size of the master with the room for a copy of it on the server's host.
func (s *Server) Needs(ctx context.Context, master *Server, dataDir string) (Room, error) {
	of, err := master.source(ctx)
	if err != nil {
		return Room{}, err
	}
	places := []Volume{{Path: dataDir, Needed: of.base + of.wal}}
	for _, t := range of.tablespaces {
		places = append(places, Volume{Path: t.location, Needed: t.bytes})
	}
	room, err := s.room(ctx, places, false)
	if err == nil && len(room.tight(false)) > 0 {
		return s.room(ctx, places, true) // what the old data takes is slow to count
	}
	return room, err
}

func (s *Server) room(ctx context.Context, places []Volume, old bool) (Room, error) {
	args := []string{"0"}
	if old {
		args[0] = "1"
	}
	for _, p := range places {
		args = append(args, p.Path)
	}
	out, err := s.host.Run(ctx, remote.Script(roomScript, args...))
	if err != nil {
		return Room{}, err
	}
	room, err := parseRoom(string(out.Stdout), places)
	if err != nil {
		return Room{}, fmt.Errorf("%s: %w", s.host.Name(), err)
	}
	return room, nil
}

// parseRoom reads what room.sh printed, a line for each place, and puts together what lies on one file system.
func parseRoom(output string, places []Volume) (room Room, err error) {
	n := 0
	for line := range strings.Lines(output) {
		if strings.TrimSpace(line) == "mount" {
			room.MountPoint = true
			continue
		}
		var device string
		var free, old int64
		if _, err := fmt.Sscanf(line, "room %s %d %d\n", &device, &free, &old); err != nil || n >= len(places) {
			return Room{}, fmt.Errorf("cannot read %q: expected a file system, its free KiB and those of the old data", strings.TrimSpace(line))
		}
		room.add(device, places[n], free<<10, old<<10)
		n++
	}
	if n != len(places) {
		return Room{}, fmt.Errorf("asked for the room in %d places, got %d", len(places), n)
	}
	return room, nil
}

func (r *Room) add(device string, place Volume, free, old int64) {
	for i := range r.Volumes {
		if v := &r.Volumes[i]; v.device == device {
			v.Needed, v.Old = v.Needed+place.Needed, v.Old+old
			return
		}
	}
	r.Volumes = append(r.Volumes, Volume{Path: place.Path, Needed: place.Needed, Free: free, Old: old, device: device})
}

// tight lists the file systems that are too small.
func (r Room) tight(reuse bool) []Volume {
	var found []Volume
	for _, v := range r.Volumes {
		has := v.Free
		if reuse {
			has += v.Old
		}
		if has < v.Needed {
			found = append(found, v)
		}
	}
	return found
}

// Refuse is a *cluster.Refusal when the copy cannot be made in this room, else nil. reuse: the old data is given up first.
func (r Room) Refuse(host string, reuse bool) error {
	refusal := &cluster.Refusal{}
	add := func(hint, format string, args ...any) {
		refusal.Risks = append(refusal.Risks, cluster.Risk{Evidence: host + ": " + fmt.Sprintf(format, args...), Hint: hint})
	}
	if r.MountPoint && !reuse {
		add(reuseHint, "the data directory is a mount point and cannot be renamed, so the copy cannot be made beside it")
	}
	tooMuch := r.tight(true)
	for _, v := range r.tight(reuse) {
		hint := reuseHint
		if reuse || len(tooMuch) > 0 {
			hint = "make room on that file system"
		}
		add(hint, "a copy of the master takes %s in %s, and %s are free there", cluster.Size(v.Needed), v.Path, cluster.Size(v.Free))
	}
	if len(refusal.Risks) == 0 {
		return nil
	}
	return refusal
}

const reuseHint = "--reuse-space removes the old data first: it is not kept, and until the copy is complete this server has none"
