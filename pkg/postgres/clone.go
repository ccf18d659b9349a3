package postgres

import (
	"cmp"
	"context"
	_ "embed" // the script
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pgctl/pgctl/pkg/remote"
)

//go:embed clone.sh
var cloneScript string

// clone copies the master by pg_basebackup.
func (s *Server) clone(ctx context.Context, r Renewal, tools Tools, master *Server, progress func(Progress)) error {
	if tools.BaseBackup == "" {
		return fmt.Errorf("%s has no pg_basebackup for PostgreSQL %s: install postgresql-client of that version or a newer one", s.host.Name(), tools.Version)
	}
	of, err := master.source(ctx)
	if err != nil {
		return err
	}
	room, err := s.Needs(ctx, master, r.DataDir)
	if err != nil {
		return err
	}
	if err := s.hasRoom(ctx, r, room); err != nil {
		return err
	}
	service, err := r.serviceFile(s.host.Name())
	if err != nil {
		return err
	}
	args, err := s.cloneArgs(r, tools, of, len(service))
	if err != nil {
		return err
	}
	return refused(s.follow(ctx, remote.Script(renewScript+swapScript+cloneScript, args...), service, progress))
}

// cloneArgs are the arguments of clone.sh.
func (s *Server) cloneArgs(r Renewal, tools Tools, of source, service int) ([]string, error) {
	mark, err := r.mark(s.host.Name(), MethodClone)
	if err != nil {
		return nil, err
	}
	reuse, option := "0", ""
	if r.ReuseSpace {
		reuse = "1"
	}
	if of.freeSlots < 1 {
		option = "--no-slot" // else a temporary slot keeps the WAL until it has come over
	}
	args := []string{
		r.DataDir, s.settings.osUser(), runProgram, tools.BaseBackup, mark, r.Stamp, reuse, little64(r.SystemID), little32(uint32(r.Timeline)),
		strconv.Itoa(service), option,
	}
	for _, t := range of.tablespaces {
		if strings.HasPrefix(t.location+"/", r.DataDir+"/") {
			return nil, fmt.Errorf("%s: the master's tablespace %s would lie in the data directory %s: move it out of there first", s.host.Name(), t.location, r.DataDir)
		}
		args = append(args, t.location)
	}
	return args, nil
}

// hasRoom refuses a clone without room for it. A copy that is complete already needs none.
func (s *Server) hasRoom(ctx context.Context, r Renewal, room Room) error {
	errRoom := room.Refuse(s.host.Name(), r.ReuseSpace)
	if errRoom == nil {
		return nil
	}
	out, err := s.host.Run(ctx, remote.Script(`data=$(readlink -f -- "$1"); ! [ -e "$data.pgctl-new/pgctl.renewed" ] || echo complete`, r.DataDir))
	if err != nil || strings.TrimSpace(string(out.Stdout)) == "complete" {
		return err
	}
	return errRoom
}

// serviceFile is the connection service file of pg_basebackup (PostgreSQL manual, "The Connection Service File"): a password is in no
// argument list. The name in it is one that no list of synchronous standbys has: under a standby's name, the server would count the
// copy as that standby.
func (r Renewal) serviceFile(host string) (string, error) {
	info := maps.Clone(r.Upstream)
	info["application_name"] = "pgctl.clone." + host
	for key, value := range map[string]string{"connect_timeout": "10", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"} {
		info[key] = cmp.Or(info[key], value)
	}
	for _, key := range []string{"dbname", "replication", "service"} {
		delete(info, key)
	}
	text := "[clone]\n"
	for _, key := range slices.Sorted(maps.Keys(info)) {
		if value := info[key]; strings.ContainsAny(value, "\n\r") || strings.TrimSpace(value) != value {
			return "", fmt.Errorf("%s: the way to the master: the value of %s cannot be written into a service file: a line break, or a blank at its end", host, key)
		}
		text += key + "=" + info[key] + "\n"
	}
	return text, nil
}

// little64 and little32 are numbers as they lie in pg_control, in hexadecimal.
func little64(n uint64) string { return hex.EncodeToString(binary.LittleEndian.AppendUint64(nil, n)) }

func little32(n uint32) string { return hex.EncodeToString(binary.LittleEndian.AppendUint32(nil, n)) }
