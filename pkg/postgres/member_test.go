package postgres_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pgctl/pgctl/pkg/postgres"
	"github.com/pgctl/pgctl/pkg/remote"
)

func TestMember(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: the file is given to the server's user")
	}
	pool := remote.NewPool(remote.Options{LocalName: "db1", NoSudo: true})
	defer pool.Close()
	dir := t.TempDir()
	s := postgres.On(pool.Host("db1"), postgres.Settings{OSUser: "root"})
	expect := func(name string, want bool) {
		t.Helper()
		if has, err := s.HasMember(t.Context(), dir, name); has != want || err != nil {
			t.Errorf("it has %q: %v, %v", name, has, err)
		}
	}
	expect("db1_k3f9", false)
	if err := s.SetMember(t.Context(), dir, "db1_k3f9"); err != nil {
		t.Fatal(err)
	}
	expect("db1_k3f9", true)
	expect("db1_other", false)
	if text, err := os.ReadFile(filepath.Join(dir, "pgctl.member")); err != nil || string(text) != "db1_k3f9\n" {
		t.Errorf("%q %v", text, err)
	}
	if err := s.SetMember(t.Context(), dir, "db2_k3f9"); err == nil {
		t.Error("another host's name was taken")
	}
}
