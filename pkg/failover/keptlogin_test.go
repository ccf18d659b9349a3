package failover

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/pgctl/pgctl/pkg/remote"
)

// filed is a host that has one file, and answers nothing else.
type filed struct {
	remote.Host
	path, text string
}

func (f filed) Name() string { return "db1" }

func (f filed) Run(_ context.Context, c remote.Command) (remote.Result, error) {
	if f.text == "" || !slices.Contains(c.Args, f.path) {
		return remote.Result{}, errors.New("no such file")
	}
	return remote.Result{Stdout: []byte(f.text)}, nil
}

// TestKeptLogin: where no server's files say how a standby logs in, what its watcher has kept does.
func TestKeptLogin(t *testing.T) {
	hosts := map[string]string{"db1": "", "db2": "{", "db3": `{"password":"x"}`, "db4": `{"user":"replicator","password":"x"}`}
	h := &Servers{Timeout: time.Second, Inventory: []string{"db0", "db1", "db2", "db3", "db4"}, Hosts: func(name string) remote.Host {
		return filed{path: keptByWatchers, text: hosts[name]}
	}}
	dirs := map[string]string{"db1": "/srv", "db2": "/srv", "db3": "/srv"}
	if login, err := h.login(t.Context(), dirs); err == nil {
		t.Errorf("nobody has it: %v", login)
	}
	dirs["db4"] = "/srv"
	for range 2 { // the second time it is remembered, and not the caller's to change
		login, err := h.login(t.Context(), dirs)
		if err != nil || login["user"] != "replicator" || login["password"] != "x" {
			t.Fatalf("%v %v", login, err)
		}
		delete(login, "user")
	}
}
