package pgpool

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/pgctl/pgctl/pkg/remote"
)

// Target is the server that a write through a pool reached.
type Target struct {
	Address  string // "" when the pool reached it by a Unix socket
	Port     int
	SystemID uint64 // 0: the server cannot tell (before 9.6)
}

// writeSQL is a write that leaves nothing behind: a transaction gets an ID, which a standby refuses (SQLSTATE 25006), and
// is rolled back, which waits for no standby (PostgreSQL manual, "Hot Standby": txid_current is not allowed there). Then who took it.
const (
	writeSQL   = "BEGIN; SELECT txid_current(); ROLLBACK;\nSELECT host(inet_server_addr()), current_setting('port'), "
	identity   = "(SELECT system_identifier FROM pg_control_system())"
	noIdentity = "0" // pg_control_system came with 9.6
)

// writeFor is what a pool is sent whose servers have that version.
func writeFor(version string) string {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err == nil && (major < 9 || major == 9 && minor < 6) {
		return writeSQL + noIdentity
	}
	return writeSQL + identity
}

// Write writes through the pool and tells which server took it. A server that is a standby is an error.
func Write(ctx context.Context, host remote.Host, s Settings, conf *Conf, passwords string) (Target, error) {
	session, err := connect(ctx, host, s, conf, passwords)
	if err != nil {
		return Target{}, err
	}
	defer session.Close(context.WithoutCancel(ctx))
	results, err := session.Exec(ctx, writeFor(session.ParameterStatus("server_version"))).ReadAll()
	if err != nil {
		return Target{}, fmt.Errorf("a write through the pool failed: %w", err)
	}
	if len(results) == 0 {
		return Target{}, errors.New("a write through the pool gave no answer")
	}
	last := results[len(results)-1]
	if len(last.Rows) != 1 || len(last.Rows[0]) != 3 {
		return Target{}, errors.New("a write through the pool gave no answer that can be read")
	}
	row := last.Rows[0]
	port, errPort := strconv.Atoi(string(row[1]))
	id, errID := strconv.ParseUint(string(row[2]), 10, 64)
	return Target{Address: string(row[0]), Port: port, SystemID: id}, errors.Join(errPort, errID)
}
