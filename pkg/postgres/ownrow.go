package postgres

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// WriteRow leaves the signature of an epoch in the data of this master (cluster.NewRow), which no commit of it waits for, and keeps the rows beside the data. Where
// the row is there for the timeline that it is on, nothing is written. A row of this epoch with another nonce or master is an error. One that was written
// before a crash and another promotion stays, and another one is written for the timeline of now.
func (o *Own) WriteRow(ctx context.Context, epoch int64, nonce string) error {
	h, err := o.place()
	if err != nil {
		return err
	}
	s, err := o.act(ctx, map[string]string{"synchronous_commit": "local"})
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.Exec(ctx, makeEpochs).Close(); err != nil {
		return err
	}
	rows, timeline, position, err := rowsOn(ctx, s)
	if err != nil {
		return err
	}
	master := o.host.Name()
	again := false
	for _, r := range rows {
		switch {
		case r.Epoch != epoch:
		case r.Nonce != nonce || r.Master != master:
			return fmt.Errorf("%s: its data is signed for epoch %d by %s with another nonce", master, epoch, r.Master)
		case r.Timeline == timeline:
			return o.keepRows(h, rows)
		default:
			again = true
		}
	}
	history, err := historyOf(path.Join(h.dataDir, "pg_wal"), timeline)
	if err != nil {
		return err
	}
	row := cluster.NewRow(epoch, master, nonce, timeline, history, rows, position)
	var sql strings.Builder
	if again { // the key that the table was made with has room for one
		sql.WriteString("ALTER TABLE pgctl.epoch DROP CONSTRAINT epoch_pkey, ADD CONSTRAINT epoch_pkey PRIMARY KEY (epoch, timeline);\n")
	}
	fmt.Fprintf(&sql, "INSERT INTO pgctl.epoch (epoch, master, nonce, timeline, fork_lsn) VALUES (%d, %s, %s, %d, '%s')",
		row.Epoch, literal(row.Master), literal(row.Nonce), uint32(row.Timeline), row.Fork)
	if err := s.Exec(ctx, sql.String()).Close(); err != nil {
		return err
	}
	if rows, _, _, err = rowsOn(ctx, s); err != nil {
		return err
	}
	return o.keepRows(h, rows)
}

// keepRows keeps the rows that the server was seen to have beside its data.
func (o *Own) keepRows(h place, rows []cluster.Epoch) error {
	control, err := readControl(h.dataDir)
	if err != nil {
		return err
	}
	text, err := keptText(control.SystemID, rows)
	if err != nil {
		return err
	}
	return o.write(path.Join(h.dataDir, epochFile), text, 0o600)
}

// rowsOn reads the rows, and then where the master is.
func rowsOn(ctx context.Context, s *session) (rows []cluster.Epoch, t cluster.Timeline, position cluster.LSN, err error) {
	answer, err := one(ctx, s, "SELECT json_agg(r) FROM (SELECT epoch, master, nonce, timeline, fork_lsn FROM pgctl.epoch ORDER BY epoch, timeline) r;\n"+ownNowSQL)
	if err != nil {
		return nil, 0, 0, err
	}
	if rows, err = readRows(answer[0]); err != nil {
		return nil, 0, 0, err
	}
	var q OwnSQL
	if err := q.now(answer[1]); err != nil {
		return nil, 0, 0, err
	}
	return rows, q.Timeline, q.Current, nil
}

// literal is a string constant, with standard_conforming_strings on or off.
func literal(text string) string {
	if strings.Contains(text, `\`) {
		return " E'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// checkMember refuses a name that is not the host's.
func checkMember(name, host string) error {
	if !cluster.IsMember(name, host) {
		return fmt.Errorf("%s: %q: %w", host, name, errNotMember)
	}
	return nil
}
