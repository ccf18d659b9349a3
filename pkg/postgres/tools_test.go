package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/remote"
)

// programs makes programs that say their version.
func programs(t *testing.T, versions map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, version := range versions {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho '"+name+" (PostgreSQL) "+version+"'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestTools(t *testing.T) {
	tests := []struct {
		name, data string // PG_VERSION of the data directory; "" none
		versions   map[string]string
		want       Tools // without BinDir; BaseBackup is its name
		err        string
	}{
		{
			name: "all of one version", data: "15",
			versions: map[string]string{"postgres": "15.18 (Debian 15.18-0+deb12u1)", "pg_rewind": "15.18", "pg_controldata": "15.18", "pg_basebackup": "15.18"},
			want:     Tools{Version: "15.18", Rewind: true, BaseBackup: "pg_basebackup"},
		},
		{
			name: "another version's pg_rewind is none", data: "10",
			versions: map[string]string{"postgres": "10.23", "pg_rewind": "15.18", "pg_controldata": "10.23", "pg_basebackup": "15.18"},
			want:     Tools{Version: "10.23", BaseBackup: "pg_basebackup"},
		},
		{
			name: "another version's pg_controldata is none", data: "9.6",
			versions: map[string]string{"postgres": "9.6.24", "pg_rewind": "9.6.24", "pg_controldata": "9.5.25", "pg_basebackup": "9.6.24"},
			want:     Tools{Version: "9.6.24", BaseBackup: "pg_basebackup"},
		},
		{name: "no data yet", versions: map[string]string{"postgres": "16beta1", "pg_basebackup": "16beta1"}, want: Tools{Version: "16beta1", BaseBackup: "pg_basebackup"}},
		{name: "programs of another version than the data", data: "15", versions: map[string]string{"postgres": "16.2"}, err: "is PostgreSQL 16.2, the data directory"},
		{name: "no programs", data: "15", err: "no PostgreSQL 15 programs on this host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bin, dir := programs(t, tt.versions), t.TempDir()
			if tt.data != "" {
				files(t, dir, map[string]string{"PG_VERSION": tt.data + "\n"})
			}
			s := On(remote.NewPool(remote.Options{LocalName: "here"}).Host("here"), Settings{BinDir: bin})
			got, err := s.Tools(t.Context(), dir)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %+v, %v", got, err)
				}
				return
			}
			tt.want.BinDir, tt.want.BaseBackup = bin, filepath.Join(bin, tt.want.BaseBackup)
			if err != nil || got != tt.want {
				t.Errorf("got %+v, %v, expected %+v", got, err, tt.want)
			}
		})
	}
}
