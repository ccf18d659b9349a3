package postgres

import (
	"context"
	"fmt"
	"os/user"
	"path"
	"strconv"
	"strings"
)

// waitTries is how many commits are made to see one of them wait: with a standby near by a wait takes a fraction of a millisecond.
const waitTries = 200

// SeeWait tells whether a commit is seen to wait for a standby now: it makes some in one session, while another one looks at nothing else, on
// the server itself. That a commit waits says that the checkpointer has read the names (M3): it alone tells backends to wait (source: syncrep.c,
// SyncRepUpdateSyncStandbysDefined).
func (o *Own) SeeWait(ctx context.Context) (bool, error) {
	commits, _, _, err := o.ask(ctx, CanaryName, map[string]string{"synchronous_commit": "on", "statement_timeout": "0", "lock_timeout": "0"})
	if err != nil {
		return false, err
	}
	defer commits.close()
	looks, err := o.act(ctx, map[string]string{"statement_timeout": "5s"})
	if err != nil {
		return false, err
	}
	defer looks.close()
	ctx, end := context.WithCancel(ctx)
	defer end()
	done := make(chan error, 1)
	go func() { done <- looks.Exec(ctx, lookForWait(commits.pid)).Close() }()
	for range waitTries {
		if err := commits.Exec(ctx, commitSQL).Close(); err != nil {
			return false, err
		}
		select {
		case err := <-done:
			return looks.warning.Load() != nil && strings.Contains(*looks.warning.Load(), waitSeen), err
		default:
		}
	}
	return false, nil
}

// waitSeen is how the session that looks says that it has seen the wait.
const waitSeen = "pgctl: it waits"

func lookForWait(pid uint32) string {
	return fmt.Sprintf(`DO $$ BEGIN
  FOR i IN 1..1000000 LOOP
    PERFORM pg_stat_clear_snapshot();
    IF EXISTS (SELECT 1 FROM pg_stat_get_activity(%s) a WHERE a.wait_event = 'SyncRep') THEN
      RAISE WARNING '%s';
      RETURN;
    END IF;
  END LOOP;
END $$`, strconv.Itoa(int(pid)), waitSeen)
}

// PassFile is where the server's own user keeps passwords by default, as its receiver reads them (manual, "The Password File").
func (o *Own) PassFile() string {
	u, err := user.Lookup(o.settings.osUser())
	if err != nil {
		return ""
	}
	return path.Join(u.HomeDir, ".pgpass")
}
