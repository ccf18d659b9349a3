package watch

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/postgres"
)

// settings are what the watcher needs of its PostgreSQL. It is the watcher that restarts it, behind the gate; and what PostgreSQL's own timers
// would add to an outage is taken away.
var settings = map[string]string{
	"restart_after_crash":         "off",
	"wal_retrieve_retry_interval": "1s",
	"wal_receiver_timeout":        "10s",
	"wal_sender_timeout":          "10s",
	"track_activities":            "on", // up to 13 nobody is seen to wait else (source: pgstat_report_wait_start)
}

// loginPath keeps how a standby logs in: a frozen server's files do not say it any more.
func (w *watcher) loginPath() string { return filepath.Join(w.StateDir, "replication.json") }

// prepare brings about what the decisions take for granted, one thing at a time in the background, until it is so.
func (w *watcher) prepare(ctx context.Context, s *cluster.State, p *cluster.Policy) {
	if w.working[lanePrepare] != nil || w.working[laneServer] != nil && w.working[laneServer].actions[0].Do == cluster.DoRenew {
		return
	}
	var what string
	var do func(context.Context) error
	switch seen := &w.server.last; {
	case seen.Missing || seen.FilesErr != nil:
	case p.Inactive:
		what, do = "let go of what is the watchers'", w.release(s)
	default:
		what, do = w.lacking(s, seen)
	}
	if do == nil {
		return
	}
	ctx, end := context.WithTimeout(ctx, actLimit(cluster.DoFreeze))
	w.working[lanePrepare] = &work{actions: []cluster.Action{{}}, end: end}
	go func() {
		defer end()
		err := do(ctx)
		w.post(func() {
			w.tell("prepare: "+what, outcome(err))
			delete(w.working, lanePrepare)
			w.again()
		})
	}()
}

// lacking is the first thing that is not as the decisions take for granted: nothing of an earlier watcher is at work, the login for replication is
// known, the data has a name, PostgreSQL has the settings and has read pg_hba.conf, its receiver says whom it receives from, the slots are there.
func (w *watcher) lacking(s *cluster.State, seen *postgres.OwnSight) (what string, do func(context.Context) error) {
	answers, own := seen.SQL != nil, w.server.own
	switch {
	case w.server.ending && answers:
		return "end what an earlier watcher left at work", func(ctx context.Context) error {
			err := own.EndPredecessors(ctx)
			w.post(func() { w.server.ending = w.server.ending && err != nil })
			return err
		}
	case w.directory.loginNow() == nil && w.due("login"):
		return "learn how a standby logs in", w.learnLogin
	case seen.Member == "" && seen.SystemID != 0:
		return "name the data", func(ctx context.Context) error { return own.SetMember(ctx, w.mint()) }
	case answers && differ(seen.SQL.Settings) && w.due("settings"):
		return "set what PostgreSQL needs", func(ctx context.Context) error { return own.EnsureSettings(ctx, settings) }
	case answers && w.facts.Upstream.Streaming && w.facts.Upstream.Receiver == unknownUpstream && w.due("receiver"):
		return "learn whom the receiver receives from", own.Reconnect // a new one that begins on the timeline of now says it
	case answers && seen.HBAStale && w.due("pg_hba.conf"):
		return "see that pg_hba.conf was read", own.LoadHBA
	case answers && cluster.Unread(s, w.facts, seen.SQL.SyncWaits) && w.due("names"):
		return "have everybody read the names again", own.Server().Reload
	case answers && s.Master != "" && seen.SQL.Recovery == (s.Master != w.name):
		for _, task := range w.slots(seen).tasks(own) {
			if w.due(task.what) {
				return task.what, task.do
			}
		}
	}
	return "", nil
}

func outcome(err error) string {
	if err == nil {
		return "done"
	}
	return problem(err)
}

// lanePrepare is the lane of what is prepared.
const lanePrepare lane = "prepare"

// due tells whether something was not tried for a while.
func (w *watcher) due(what string) bool {
	now := sinceBoot()
	if last, tried := w.tried[what]; tried && now-last < 10*time.Second {
		return false
	}
	w.tried[what] = now
	return true
}

// differ tells whether a setting is not as it shall be. PostgreSQL shows times in its own units.
func differ(shown map[string]string) bool {
	for name, value := range settings {
		if is, known := shown[name]; known && is != value {
			return true
		}
	}
	return false
}

// mint is a name for the data here: the one that its receiver has, if that is this host's, else a new incarnation.
func (w *watcher) mint() string {
	if q := w.server.sql; q != nil && q.Receiver != nil && q.Receiver.Name != "" && cluster.IsMember(q.Receiver.Name, w.name) && strings.ToLower(q.Receiver.Name) == q.Receiver.Name {
		return q.Receiver.Name
	}
	return cluster.MemberName(w.name, newIncarnation())
}

// newIncarnation is a random word of lower case letters and digits.
func newIncarnation() string { return strings.ToLower(rand.Text()[:6]) }

// learnLogin takes the login from pgctl.yaml, from what was kept, or from PostgreSQL's own files.
func (w *watcher) learnLogin(ctx context.Context) error {
	if user := w.Replication.User; user != "" {
		login := postgres.ConnInfo{"user": user}
		if w.Replication.PassFile != "" {
			login["passfile"] = w.Replication.PassFile
		}
		w.directory.setLogin(login)
		return nil
	}
	if text, err := os.ReadFile(w.loginPath()); err == nil {
		var login postgres.ConnInfo
		if err := json.Unmarshal(text, &login); err == nil && w.directory.setLogin(login) {
			return nil
		}
	}
	upstream, _, err := w.server.own.Server().UpstreamOf(ctx, w.server.last.DataDir)
	if err != nil {
		return err
	}
	login := upstream.Login()
	if login == nil {
		return fmt.Errorf("no file of %s says how a standby logs in: another server may tell, or replication.user in pgctl.yaml", w.name)
	}
	w.directory.setLogin(login)
	return w.keepLogin(login)
}

func (w *watcher) keepLogin(login postgres.ConnInfo) error {
	text, err := json.Marshal(login)
	if err != nil {
		return err
	}
	return replaceFile(w.loginPath(), append(text, '\n'), 0o600, true)
}
