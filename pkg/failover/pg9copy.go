package failover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/pg9"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/remote"
)

// copyLimit is how long base_backup.sh may take.
const copyLimit = 48 * time.Hour

// isCopied: base_backup.sh has run for this change of roles, and its copy is on the slave: not started since (it still has its
// backup_label), unless configure_slave.sh has made it one that starts as a slave. A copy that ran as a master, on a host that was
// booted in between, is none any more.
func (h *PG9) isCopied(ctx context.Context, s plan.Step) (bool, error) {
	facts, err := h.facts9(ctx, s.Host, s.Args["data_dir"])
	if err != nil || facts.Marks[pg9.MarkCopied] != s.Args["key"] {
		return false, err
	}
	slave, err := h.facts9(ctx, s.Args["slave"], s.Args["slave_dir"])
	return err == nil && !slave.NoData && (slave.Label || slave.Marks[pg9.MarkSlave] == s.Args["key"]), err
}

// copy runs base_backup.sh on the master, onto a slave that is stopped and whose old data is aside. What one that was broken off has left
// is cleared first, on both.
func (h *PG9) copy(ctx context.Context, s plan.Step) error {
	facts, err := h.facts9(ctx, s.Host, s.Args["data_dir"])
	if err != nil {
		return err
	}
	if facts.Busy != "" {
		return fmt.Errorf("%s: a step that an earlier pgctl began still runs: %s; wait until it has ended", s.Host, facts.Busy)
	}
	onSlave := s
	onSlave.Host, onSlave.Args = s.Args["slave"], map[string]string{"key": s.Args["key"], "data_dir": s.Args["slave_dir"]}
	if err := h.step9(ctx, "clear", onSlave, stepLimit); err != nil {
		return err
	}
	if facts.Marks[pg9.MarkBegun] == s.Args["key"] {
		asking, cancel := context.WithTimeout(ctx, h.Timeout+time.Minute)
		err := h.server(s).EndBackup(asking)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: the base backup that was broken off cannot be ended: %w", s.Host, err)
		}
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go h.watchCopy(watching, s)
	return h.step9(ctx, "backup", s, copyLimit, s.Args["ips"])
}

// watchCopy tells how much of the copy is there.
func (h *PG9) watchCopy(ctx context.Context, s plan.Step) {
	for every := 2 * time.Second; ; {
		pause(ctx, every)
		if ctx.Err() != nil {
			return
		}
		began := h.Now()
		n, err := h.diskUse(ctx, s.Args["slave"], s.Args["slave_dir"])
		if err == nil && ctx.Err() == nil {
			of := ""
			if total := size(s); total > 0 {
				of = fmt.Sprintf(" of %s (%d%%)", cluster.Size(total), min(n*100/total, 100))
			}
			h.progress(s.Args["slave"], "base backup: %s%s", cluster.Size(n), of)
		}
		every = max(2*time.Second, 10*h.Now().Sub(began)) // counting many files must not slow the copy
	}
}

// diskUse counts what a directory takes.
func (h *PG9) diskUse(ctx context.Context, host, dir string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout+time.Minute)
	defer cancel()
	out, err := h.Hosts(host).Run(ctx, remote.Script(`du -sk -- "$1" 2>/dev/null | awk '{ print $1 }'`, dir))
	if err != nil {
		return 0, err
	}
	kib, err := strconv.ParseInt(strings.TrimSpace(string(out.Stdout)), 10, 64)
	return kib << 10, err
}

// Size is what the data directory of a server takes on its disk; 0 where it cannot be counted.
func (h *PG9) Size(ctx context.Context, s *cluster.Server) int64 {
	if s.Data == nil {
		return 0
	}
	n, err := h.diskUse(ctx, s.Host, s.Data.Path)
	if err != nil {
		return 0
	}
	return n
}

// nodeFiles are the two files of a step, as they are and as they shall be.
func (h *PG9) nodeFiles(ctx context.Context, s plan.Step) (was, shall map[string][]byte, err error) {
	was, shall = map[string][]byte{}, map[string][]byte{}
	for _, f := range []struct{ path, from, to string }{
		{s.Args["pgmaster"], s.Args["slave"], s.Args["master"]}, {s.Args["pgslave"], s.Args["master"], s.Args["slave"]},
	} {
		data, err := remote.ReadFile(ctx, h.Here, f.path)
		if err != nil {
			return nil, nil, err
		}
		if was[f.path] = data; err == nil {
			shall[f.path], err = editedList(nodes.File{Path: f.path, Data: data}, f.from, f.to)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return was, shall, nil
}

func (h *PG9) hasNodes(ctx context.Context, s plan.Step) (bool, error) {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	was, shall, err := h.nodeFiles(ctx, s)
	if err != nil {
		return false, err
	}
	for path := range was {
		if string(was[path]) != string(shall[path]) {
			return false, nil
		}
	}
	return true, nil
}

// setNodes keeps the old files elsewhere (the site's scripts take everything in their folder for a role) and replaces both, by one
// command: between the two one host would be in both, which is no inventory.
func (h *PG9) setNodes(ctx context.Context, s plan.Step) error {
	ctx, cancel := h.ask(ctx)
	defer cancel()
	was, shall, err := h.nodeFiles(ctx, s)
	if err != nil {
		return err
	}
	if _, err := h.Here.Run(ctx, remote.Script(`mkdir -p -m 700 -- "$1"`, s.Args["backups"])); err != nil {
		return err
	}
	var args []string
	for _, file := range []string{s.Args["pgmaster"], s.Args["pgslave"]} {
		kept := path.Join(s.Args["backups"], path.Base(file)+"."+h.Stamp)
		if _, err := remote.ReadFile(ctx, h.Here, kept); errors.Is(err, fs.ErrNotExist) {
			if _, err = remote.WriteFile(ctx, h.Here, kept, was[file], remote.WriteOptions{Mode: 0o600}); err != nil {
				return err
			}
		}
		next := path.Join(path.Dir(file), "."+path.Base(file)+".pgctl-new")
		if _, err := remote.WriteFile(ctx, h.Here, next, shall[file], remote.WriteOptions{}); err != nil {
			return err
		}
		args = append(args, next, file)
	}
	_, err = h.Here.Run(ctx, remote.Script(`trap '' HUP INT TERM
for new in "$1" "$3"; do chmod --reference="$2" "$new" && chown --reference="$2" "$new" || exit 1; done
mv -f "$1" "$2" && mv -f "$3" "$4"`, args...))
	return err
}
