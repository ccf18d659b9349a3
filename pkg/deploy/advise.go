package deploy

import (
	"context"
	"errors"
	"fmt"

	"github.com/pgctl/pgctl/pkg/postgres"
	"github.com/pgctl/pgctl/pkg/remote"
)

// Warning is what a deployment leaves for the operator to see to.
type Warning struct{ Message, Hint string }

// Warnings says on which of the servers the watcher's role is not let in, so that their watchers ask as pgctl does, and what would help.
func (d *Deployer) Warnings(ctx context.Context, servers []string) []Warning {
	if d.ownLogin() {
		return []Warning{{
			Message: "the watchers ask as pgctl.yaml says, not as the role " + postgres.WatcherRole + ", which may look and nothing more",
			Hint:    "take postgres.user and postgres.os_user out of pgctl.yaml, if pgctl itself does not need them",
		}}
	}
	var all []Warning
	for _, some := range remote.Each(ctx, servers, 0, 2*d.Timeout, d.warningsOf) {
		all = append(all, some...)
	}
	return all
}

func (d *Deployer) warningsOf(ctx context.Context, host string) []Warning {
	var all []Warning
	if f, err := look(ctx, d.Hosts(host), "user"); err == nil {
		if u, there := f.user(); there && !u.made() {
			all = append(all, Warning{Message: fmt.Sprintf("%s: the user %s was there before, and is used as it is (%q)", host, postgres.WatcherRole, u.comment)})
		}
	}
	server := d.server(host)
	there, made, err := server.WatcherRole(ctx)
	if err == nil && there && !made {
		all = append(all, Warning{Message: fmt.Sprintf("%s: the role %s was there before, and is used as it is", host, postgres.WatcherRole)})
	}
	errLogin := server.AdmitsWatcher(ctx)
	if !errors.Is(errLogin, postgres.ErrNoLogin) {
		return all // let in, or no server that lets anybody in at the moment: overview tells of that
	}
	own := postgres.Settings{OSUser: postgres.WatcherRole, User: postgres.WatcherRole}
	w := Warning{Message: fmt.Sprintf("%s: its watcher asks as a superuser: %s", host, postgres.Explain(host, own, errLogin, d.Timeout).Message), Hint: server.WatcherHint(errLogin)}
	if err == nil && !there {
		w.Hint = "the role comes with the master's stream; run it again when there is one"
	}
	return append(all, w)
}
