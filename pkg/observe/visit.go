package observe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/pgpool"
	"github.com/pgctl/pgctl/pkg/postgres"
	"github.com/pgctl/pgctl/pkg/remote"
	"github.com/pgctl/pgctl/pkg/service"
)

// visit is what one host answered.
type visit struct {
	common     cluster.Common
	postgres   cluster.Service
	facts      postgres.Facts
	masterFile *string
	instance   *cluster.Instance
	sqlFailure *cluster.Failure
	pool       cluster.Pool
}

// visit asks one host everything that its roles call for. It returns within the context's deadline.
func (s *Site) visit(ctx context.Context, name string, r roles, sql bool) visit {
	host := s.Hosts(name)
	pg, pool := s.postgres(), s.pgpool()
	v := visit{common: cluster.Common{Host: name}}
	began := s.Now()

	var session sync.WaitGroup
	if r.server && sql {
		session.Go(func() {
			instance, err := postgres.On(host, pg).Probe(ctx)
			v.instance = instance
			if err != nil {
				v.sqlFailure = postgres.Explain(name, pg, err, s.Now().Sub(began))
			}
		})
	}
	result, err := host.Run(ctx, question(r, pg, pool))
	found := sections(string(result.Stdout))
	_, whole := found["end"]
	switch {
	case whole || err != nil && found["clock"] != "":
		v.read(found, r, began, s.Now())
		if !whole {
			v.common.Partial = inPart(name, err)
		}
		if r.pool {
			v.askPool(ctx, host, pool, found, whole, sql)
		}
	case err != nil:
		v.common.Unreachable = unreachable(name, err)
	default:
		v.common.Unreachable = unreachable(name, errors.New("its answer has no end"))
	}
	session.Wait()
	if v.instance != nil && v.instance.InRecovery && v.facts.Data != nil {
		v.instance.Timeline = max(v.instance.Timeline, v.facts.Data.WALTimeline) // without a receiver it knows of the last restartpoint's only
		if strings.HasPrefix(v.instance.Version, "9.") {                         // which tells of neither
			v.instance.Timeline = max(v.instance.Timeline, v.facts.Data.Timeline)
			v.instance.Receiver = v.facts.Receiver()
		}
	}
	return v
}

// unreachable turns the error of the one command into a failure of the host.
func unreachable(host string, err error) *cluster.Failure {
	var u *remote.Unreachable
	if errors.As(err, &u) {
		return &cluster.Failure{Message: strings.TrimPrefix(u.Message, host+": "), Hint: u.Hint}
	}
	return &cluster.Failure{
		Message: "SSH works, but the host does not answer: " + strings.TrimPrefix(err.Error(), host+": "),
		Hint:    fmt.Sprintf("overloaded, or its disk hangs: ssh %s uptime (--timeout gives it longer)", host),
	}
}

// inPart is the failure of a host whose answer stopped half-way.
func inPart(host string, err error) *cluster.Failure {
	why := "its answer stopped half-way"
	if errors.Is(err, context.DeadlineExceeded) {
		why = "it took longer than it may"
	}
	return &cluster.Failure{
		Message: "answered only in part: " + why,
		Hint:    fmt.Sprintf("a disk, a mount or a service manager hangs: ssh %s 'df; systemctl' (--timeout gives it longer)", host),
	}
}

// read takes the sections apart. A section that did not come leaves its part unknown.
func (v *visit) read(found map[string]string, r roles, began, ended time.Time) {
	v.common.Clock = clock(found["clock"], began, ended)
	v.common.Addresses = strings.Fields(found["addresses"])
	if r.server {
		var err error
		if v.facts, err = postgres.ParseFacts(found["postgres"]); err != nil {
			v.common.Partial = &cluster.Failure{Message: "answered only in part: " + cluster.Printable(err.Error()), Hint: "look at its data directory"}
		}
		v.postgres = services(found["services"])["postgresql"]
		if text, ok := found["master_file"]; ok {
			text = cluster.Printable(strings.TrimSpace(text))
			v.masterFile = &text
		}
	}
	if r.pool {
		v.pool.Service = services(found["pool_service"])["pgpool2"]
	}
	if r.server || r.arbiter {
		v.common.Watcher = watcherOf(found)
	}
}

// services parses service lines; a service that was not answered for is unknown.
func services(text string) map[string]cluster.Service {
	found, err := service.Parse(text)
	if err != nil {
		return nil
	}
	return found
}

// clock compares the host's clock with ours in the middle of the question.
func clock(text string, began, ended time.Time) *cluster.Clock {
	seconds, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil {
		return nil
	}
	half := ended.Sub(began) / 2
	theirs := time.UnixMicro(int64(seconds * 1e6))
	return &cluster.Clock{Offset: theirs.Sub(began.Add(half)), Within: half}
}

// askPool reads pgpool.conf and asks the running pgpool.
func (v *visit) askPool(ctx context.Context, host remote.Host, s pgpool.Settings, found map[string]string, whole, sql bool) {
	text, ok := found["pool_conf"]
	switch {
	case !ok && !whole:
		return
	case !ok:
		v.pool.ConfFailure = &cluster.Failure{
			Message: s.ConfPath() + " is not there",
			Hint:    "install pgpool2 on it, or set pgpool.conf in pgctl.yaml to where the file is",
		}
		return
	}
	conf, err := pgpool.ParseConf(s.ConfPath(), []byte(text))
	if err == nil {
		v.pool.FailoverCommand = conf.Get("failover_command", "")
		v.pool.QueryCache = slices.Contains([]string{"on", "true", "yes", "1"}, strings.ToLower(conf.Get("memory_cache_enabled", "off")))
		v.pool.Shared, _ = strconv.ParseInt(strings.TrimSpace(found["pool_memory"]), 10, 64)
		v.pool.Backends, err = conf.Backends()
	}
	if err != nil {
		v.pool.ConfFailure = &cluster.Failure{Message: cluster.Printable(err.Error()), Hint: "correct it before anything restarts pgpool: it would not start"}
		return
	}
	v.resolve(found["pool_names"])
	if !sql {
		return
	}
	v.pool.Running, err = pgpool.Running(ctx, host, s, conf, found["pool_passwords"])
	v.pool.Listening = listening(err)
	if err != nil {
		v.pool.RunningFailure = &cluster.Failure{Message: strings.TrimPrefix(pgpool.Explain(err), host.Name()+": ")}
		v.pool.ServesNobody = pgpool.Answered(err)
		v.pool.Refuses = v.pool.Listening != nil && *v.pool.Listening && !errors.Is(err, pgpool.ErrNoLogin)
	}
}

// listening is what the attempt to talk to a pool says of its port: nil where the connection was not even tried (no route
// through sshd, no time left), which says nothing.
func listening(err error) *bool {
	switch {
	case errors.Is(err, pgpool.ErrNotListening):
		return new(false)
	case errors.Is(err, pgpool.ErrNotReached):
		return nil
	}
	return new(true)
}

// resolve notes what the pool's host takes its backends' names for: a name, then addresses, a line each.
func (v *visit) resolve(text string) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		for i := range v.pool.Backends {
			if b := &v.pool.Backends[i]; len(fields) > 1 && fields[0] == b.Host {
				b.Addresses = fields[1:]
			}
		}
	}
}
