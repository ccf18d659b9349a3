package postgres

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// ErrRoleChanged is returned when a server was promoted between two questions of one probe: ask again.
var ErrRoleChanged = errors.New("the server changed its role while it was asked")

// probeSQL asks everything in one round trip, in two statements: the position is read after the list of walsenders, so
// that a standby which this server itself sees further than that position is proven to be ahead of it.
//
//go:embed probe.sql
var probeSQL string

// probe9SQL asks the same of 9.3 to 9.6, by the names that things have there (PostgreSQL 10 release notes, "Rename"). There is no
// pg_stat_wal_receiver before 9.6: whether a standby streams is a fact of its processes (Facts.Receiver).
//
//go:embed probe9.sql
var probe9SQL string

// Probe asks the running server what it is. It needs PostgreSQL 9.3 or later.
func (s *Server) Probe(ctx context.Context) (*cluster.Instance, error) {
	conn, err := s.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return probeOn(ctx, conn)
}

func probeOn(ctx context.Context, conn *pgconn.PgConn) (*cluster.Instance, error) {
	instance, err := probe(ctx, conn)
	if errors.Is(err, ErrRoleChanged) {
		instance, err = probe(ctx, conn)
	}
	return instance, err
}

func probe(ctx context.Context, conn *pgconn.PgConn) (*cluster.Instance, error) {
	version := conn.ParameterStatus("server_version")
	sql, err := probeFor(version)
	if err != nil {
		return nil, err
	}
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(results) != 2 || len(results[0].Rows) != 1 || len(results[1].Rows) != 1 {
		return nil, fmt.Errorf("expected two rows from the probe, got %d results", len(results))
	}
	return parseProbe(version, results[0].Rows[0][0], results[1].Rows[0][0])
}

// probeFor is what a server of that version is asked.
func probeFor(version string) (string, error) {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil && major < 10 {
		return "", fmt.Errorf("cannot read its version %q: expected one such as 9.3.25 or 15.18", version)
	}
	switch {
	case major >= 10:
		return probeSQL, nil
	case major == 9 && minor >= 3:
		return probe9SQL, nil
	}
	return "", fmt.Errorf("it runs PostgreSQL %s, pgctl asks 9.3 and later", version)
}

// answer is the first row of probe.sql; the names are PostgreSQL's own where a whole row is passed on.
type answer struct {
	InRecovery         bool     `json:"in_recovery"`
	Received           *lsn     `json:"received"`
	Replayed           *lsn     `json:"replayed"`
	Paused             bool     `json:"paused"`
	ReplayAge          *float64 `json:"replay_age"`
	CheckpointTimeline uint32   `json:"checkpoint_timeline"`
	RecoveryTimeline   uint32   `json:"recovery_timeline"`
	Receiver           *struct {
		Status      string `json:"status"`
		ReceivedTLI uint32 `json:"received_tli"`
		SenderHost  string `json:"sender_host"` // from 11 on
		ConnInfo    string `json:"conninfo"`
	} `json:"receiver"`
	Standbys []struct {
		ApplicationName string `json:"application_name"`
		ClientAddr      string `json:"client_addr"`
		State           string `json:"state"`
		SyncState       string `json:"sync_state"`
		FlushLSN        *lsn   `json:"flush_lsn"`
		ReplayLSN       *lsn   `json:"replay_lsn"`
		Slot            string `json:"slot"` // null none
	} `json:"standbys"`
	Slots []struct {
		SlotName  string `json:"slot_name"`
		SlotType  string `json:"slot_type"`
		Active    bool   `json:"active"`
		Retained  int64  `json:"retained"`
		WALStatus string `json:"wal_status"` // from 13 on
	} `json:"slots"`
	SyncNames string `json:"sync_names"`
	SyncWaits int    `json:"sync_waits"`
}

// position is the second row.
type position struct {
	InRecovery bool   `json:"in_recovery"`
	Position   *lsn   `json:"position"`
	Segment    string `json:"segment"`
}

// parseProbe turns the two rows into what the model knows.
func parseProbe(version string, first, second []byte) (*cluster.Instance, error) {
	var a answer
	var p position
	if err := errors.Join(json.Unmarshal(first, &a), json.Unmarshal(second, &p)); err != nil {
		return nil, fmt.Errorf("cannot read the server's answer: %w", err)
	}
	if a.InRecovery != p.InRecovery {
		return nil, ErrRoleChanged
	}
	version, _, _ = strings.Cut(version, " ") // "15.18 (Debian 15.18-0+deb12u1)"
	in := &cluster.Instance{
		Version: version, InRecovery: a.InRecovery, Paused: a.Paused, SyncNames: a.SyncNames, SyncWaits: a.SyncWaits,
	}
	if a.InRecovery {
		a.standby(in)
	} else if err := p.master(in); err != nil {
		return nil, err
	}
	for _, w := range a.Standbys {
		in.Standbys = append(in.Standbys, cluster.Walsender{
			ApplicationName: w.ApplicationName, ClientAddress: w.ClientAddr, State: w.State, SyncState: w.SyncState,
			Flush: w.FlushLSN.value(), Replay: w.ReplayLSN.value(), Slot: w.Slot,
		})
	}
	for _, s := range a.Slots {
		in.Slots = append(in.Slots, cluster.Slot{Name: s.SlotName, Physical: s.SlotType == "physical", Active: s.Active, Retained: s.Retained, Status: s.WALStatus})
	}
	return in, nil
}

// standby fills in what only a server in recovery has. Its timeline is the newest that it is known to have WAL of.
func (a *answer) standby(in *cluster.Instance) {
	in.Position, in.Received = a.Replayed.value(), a.Received.value()
	in.ReplayAge = seconds(a.ReplayAge)
	in.Timeline = cluster.Timeline(max(a.CheckpointTimeline, a.RecoveryTimeline))
	if r := a.Receiver; r != nil {
		in.Timeline = max(in.Timeline, cluster.Timeline(r.ReceivedTLI))
		in.Receiver = &cluster.Receiver{
			Status: r.Status, SenderHost: cmp.Or(r.SenderHost, keyword(r.ConnInfo, "host")),
			ApplicationName: keyword(r.ConnInfo, "application_name"),
		}
	}
}

// master fills in the write position and, from the name of the segment there, the timeline: pg_control may still have
// the old one for a while after a promotion.
func (p *position) master(in *cluster.Instance) error {
	if p.Position == nil || len(p.Segment) != 24 {
		return fmt.Errorf("cannot read the server's answer: a master without a position and a segment")
	}
	timeline, err := parseTimeline(p.Segment[:8], 16)
	in.Position, in.Timeline = p.Position.value(), timeline
	return err
}

// keyword reads one value of a connection string as PostgreSQL prints it in pg_stat_wal_receiver.
func keyword(conninfo, name string) string {
	m := regexp.MustCompile(`(?:^|\s)` + name + `=('(?:[^'\\]|\\.)*'|\S*)`).FindStringSubmatch(conninfo)
	if m == nil {
		return ""
	}
	return strings.NewReplacer(`\\`, `\`, `\'`, `'`).Replace(strings.Trim(m[1], "'"))
}

// lsn reads a pg_lsn out of JSON.
type lsn cluster.LSN

// UnmarshalJSON reads PostgreSQL's form, such as "0/3000060".
func (l *lsn) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	v, err := cluster.ParseLSN(s)
	*l = lsn(v)
	return err
}

func (l *lsn) value() cluster.LSN {
	if l == nil {
		return 0
	}
	return cluster.LSN(*l)
}

func seconds(s *float64) *time.Duration {
	if s == nil {
		return nil
	}
	d := time.Duration(*s * float64(time.Second))
	return &d
}
