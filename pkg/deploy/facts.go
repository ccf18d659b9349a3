package deploy

import (
	"context"
	_ "embed"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/pgctl/pgctl/pkg/remote"
)

//go:embed look.sh
var lookScript string

// facts are what a host has of pgctl: the values of look.sh by name, in their order.
type facts map[string][]string

// look asks a host for the facts of the given parts.
func look(ctx context.Context, host remote.Host, parts ...string) (facts, error) {
	out, err := host.Run(ctx, remote.Script(lookScript, parts...))
	if err != nil {
		return nil, err
	}
	found := facts{}
	for line := range strings.Lines(string(out.Stdout)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		found[name] = append(found[name], value)
	}
	if !found.has("end") {
		return nil, fmt.Errorf("%s: its answer has no end", host.Name())
	}
	return found, nil
}

func (f facts) has(name string) bool { return len(f[name]) > 0 }

// one is the value of a fact, "" when there is none.
func (f facts) one(name string) string {
	return strings.Join(f[name], "\n")
}

// file is the content of a file; ok is false when it is not there.
func (f facts) file(name string) (data []byte, ok bool) {
	if !f.has(name) {
		return nil, false
	}
	data, err := base64.StdEncoding.DecodeString(f.one(name))
	return data, err == nil
}

// mode is the mode and the owner's number of a path, such as "600:0"; "" when it is not there.
func (f facts) mode(path string) string {
	for _, line := range f["mode"] {
		if mode, name, _ := strings.Cut(line, " "); name == path {
			return mode
		}
	}
	return ""
}
