package watch

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// again is how long a refusal counts: each try leaves a line in PostgreSQL's log.
const again = 30 * time.Second

// ask is a question to PostgreSQL.
type ask func(context.Context) (*cluster.Instance, error)

// answer is what PostgreSQL said, and to whom.
type answer struct {
	instance *cluster.Instance
	role     string // that asked
	instead  string // why that is not the watcher's own; ""
}

// login chooses as whom PostgreSQL is asked: as the watcher's own role, which may look and nothing more, or, where that is not let in, as the
// role that all of pgctl asks as. One question is asked at a time.
type login struct {
	host     string
	now      func() time.Time
	own      ask // nil: pgctl.yaml names a role or a user
	site     ask
	siteRole string

	refused time.Time // when its own role was refused last
	instead string    // why; "" it is let in
}

func newLogin(o Options) *login {
	server := postgres.On(o.Local, o.Postgres)
	l := &login{host: o.Host, now: o.Now, site: server.Probe, siteRole: cmp.Or(o.Postgres.User, "postgres"), own: server.ProbeAsWatcher}
	if o.Postgres.User != "" || o.Postgres.OSUser != "" {
		l.own, l.instead = nil, "pgctl.yaml sets postgres.user or postgres.os_user"
	}
	return l
}

// ask asks. A server without a connection left for the role has not refused it: it is asked this one question over the connections that it
// keeps for superusers, as it is no less a master or a standby for that.
func (l *login) ask(ctx context.Context) (answer, error) {
	if l.own == nil || l.instead != "" && l.now().Sub(l.refused) < again {
		return l.asSite(ctx, l.instead)
	}
	instance, err := l.own(ctx)
	switch {
	case errors.Is(err, postgres.ErrNoLogin):
		l.refused, l.instead = l.now(), l.explain(err)
		return l.asSite(ctx, l.instead)
	case postgres.Full(err):
		return l.asSite(ctx, l.explain(err))
	case err == nil:
		l.instead = ""
	}
	return answer{instance: instance, role: postgres.WatcherRole}, err
}

func (l *login) asSite(ctx context.Context, instead string) (answer, error) {
	instance, err := l.site(ctx)
	return answer{instance, l.siteRole, instead}, err
}

func (l *login) explain(err error) string {
	return postgres.Explain(l.host, postgres.Settings{OSUser: postgres.WatcherRole, User: postgres.WatcherRole}, err, probeLimit).Message
}
