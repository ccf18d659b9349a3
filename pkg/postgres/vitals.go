package postgres

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// vitalsSQL reads pg_file_settings, which only a superuser may.
//
//go:embed vitals.sql
var vitalsSQL string

// vitalsRow is the answer to vitals.sql.
type vitalsRow struct {
	Fsync          string `json:"fsync"`
	FullPageWrites string `json:"full_page_writes"`
	SyncCommit     string `json:"synchronous_commit"`
	RoleSettings   []struct {
		Role, Database *string
		Value          string
	} `json:"role_settings"`
	FileErrors []struct {
		File  string
		Line  int
		Name  *string
		Error string
		Known bool
	} `json:"file_errors"`
}

// Vitals asks the running server for the settings by which it keeps or loses what it has acknowledged.
func (s *Server) Vitals(ctx context.Context) (cluster.Vitals, error) {
	conn, err := s.Connect(ctx)
	if err != nil {
		return cluster.Vitals{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	results, err := conn.Exec(ctx, vitalsSQL).ReadAll()
	if err != nil {
		return cluster.Vitals{}, err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return cluster.Vitals{}, fmt.Errorf("expected one row of settings, got %d results", len(results))
	}
	return parseVitals(results[0].Rows[0][0])
}

func parseVitals(text []byte) (cluster.Vitals, error) {
	var row vitalsRow
	if err := json.Unmarshal(text, &row); err != nil {
		return cluster.Vitals{}, fmt.Errorf("cannot read the server's settings: %w", err)
	}
	v := cluster.Vitals{Fsync: row.Fsync, FullPageWrites: row.FullPageWrites, SyncCommit: row.SyncCommit}
	for _, s := range row.RoleSettings {
		v.Weaker = append(v.Weaker, cluster.SyncSetting{Role: orEmpty(s.Role), Database: orEmpty(s.Database), Value: cluster.Printable(s.Value)})
	}
	for _, e := range row.FileErrors {
		v.FileErrors = append(v.FileErrors, cluster.FileError{
			File: cluster.Printable(e.File), Line: e.Line, Name: cluster.Printable(orEmpty(e.Name)), Error: cluster.Printable(e.Error), Known: e.Known,
		})
	}
	return v, nil
}

// orEmpty is "" for NULL.
func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
