package remote_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pgctl/pgctl/pkg/remote"
)

func TestReadFiles(t *testing.T) {
	host := remote.NewPool(remote.Options{LocalName: "here", NoSudo: true}).Host("here")
	dir := t.TempDir()
	content := map[string]string{"empty": "", "lines": "a\n-1\nb", "odd name": "\x00\xff\n"}
	paths := []string{filepath.Join(dir, "missing")}
	for name, text := range content {
		paths = append(paths, filepath.Join(dir, name))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, err := remote.ReadFiles(t.Context(), host, paths...)
	if err != nil || len(found) != len(content) {
		t.Fatalf("%q, %v", found, err)
	}
	for name, text := range content {
		if got := found[filepath.Join(dir, name)]; got == nil || string(got) != text {
			t.Errorf("%s: %q", name, got)
		}
	}
	if _, err := remote.ReadFiles(t.Context(), host, dir); err == nil {
		t.Error("a directory was read")
	}
	if _, err := remote.ReadFiles(t.Context(), host, "relative"); err == nil {
		t.Error("a relative path was read")
	}
}
