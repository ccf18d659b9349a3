package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/remote"
)

// epochFile holds the rows of pgctl.epoch beside the data that has them, for the day on which PostgreSQL there cannot be asked: an old master
// that is stopped, whose oldest timelines' WAL is long gone, would be of unproven history without them. It is written only after the rows
// were read from that very server, so the data has them. A base backup and a rewind bring the file of the server that they copy along,
// and with it that server's rows.
const epochFile = "pgctl.epochs"

// keptEpochs is how many rows the file holds, the newest: one of a later timeline proves all before it.
const keptEpochs = 100

// epochsKept is the file's content, one line of JSON.
type epochsKept struct {
	SystemID uint64      `json:"system_id,string"` // of the cluster that has the rows
	Rows     []keptEpoch `json:"rows"`
}

type keptEpoch struct {
	Epoch    int64            `json:"epoch"`
	Master   string           `json:"master"`
	Nonce    string           `json:"nonce"`
	Timeline cluster.Timeline `json:"timeline"`
	Fork     string           `json:"fork"`
}

// keepEpochs writes the rows that the running server has beside its data.
func (s *Server) keepEpochs(ctx context.Context, dataDir string) error {
	rows, err := s.Epochs(ctx)
	if err != nil {
		return err
	}
	id, err := s.scalar(ctx, "SELECT system_identifier FROM pg_control_system()")
	if err != nil {
		return err
	}
	system, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return fmt.Errorf("%s: its system identifier is %q: %w", s.host.Name(), id, err)
	}
	text, err := keptText(system, rows)
	if err != nil {
		return err
	}
	options := remote.WriteOptions{Mode: 0o600, Owner: s.owner()}
	_, err = remote.WriteFile(ctx, s.host, path.Join(dataDir, epochFile), text, options)
	return err
}

// keptText is the file for rows that were read from the running server.
func keptText(system uint64, rows []cluster.Epoch) ([]byte, error) {
	kept := epochsKept{SystemID: system, Rows: []keptEpoch{}}
	for _, e := range rows[max(0, len(rows)-keptEpochs):] {
		kept.Rows = append(kept.Rows, keptEpoch{e.Epoch, e.Master, e.Nonce, e.Timeline, e.Fork.String()})
	}
	text, err := json.Marshal(kept)
	return append(text, '\n'), err
}

// Signed says why the running server's timeline counts as not signed: it has no row of it, or its files do not keep that row. nil: it is signed.
func (s *Server) Signed(ctx context.Context, timeline cluster.Timeline) (reason, err error) {
	rows, err := s.Epochs(ctx)
	if err != nil {
		return nil, err
	}
	facts, err := s.Facts(ctx)
	if err != nil || facts.Data == nil {
		return nil, errors.Join(errors.New("its files cannot be read"), err)
	}
	row, there := facts.Data.Histories[timeline].RowOf(timeline, rows)
	if !there {
		return fmt.Errorf("pgctl.epoch has no row of timeline %d", timeline), nil
	}
	if !slices.Contains(facts.Data.Epochs, row) {
		return fmt.Errorf("%s does not keep the row of timeline %d", epochFile, timeline), nil
	}
	return nil, nil
}

// epochs takes the rows of the file; of another cluster's file it takes none.
func (f *Facts) epochs(text string) error {
	var kept epochsKept
	if err := json.Unmarshal([]byte(text), &kept); err != nil {
		return err
	}
	if kept.SystemID != f.Data.SystemID {
		return nil
	}
	for _, row := range kept.Rows {
		fork, err := cluster.ParseLSN(row.Fork)
		if err != nil {
			return fmt.Errorf("row of epoch %d: %w", row.Epoch, err)
		}
		f.Data.Epochs = append(f.Data.Epochs, cluster.Epoch{Epoch: row.Epoch, Master: row.Master, Nonce: row.Nonce, Timeline: row.Timeline, Fork: fork})
	}
	return nil
}
