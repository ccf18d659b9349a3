package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/postgres"
	"github.com/pgctl/pgctl/pkg/remote"
)

// userMark is the comment (GECOS) of a system user that deploy made. Another one of that name is left alone.
const userMark = "pgctl watcher (made by pgctl deploy)"

const nologin = "/usr/sbin/nologin"

// systemUser is a line of passwd(5).
type systemUser struct{ comment, home, shell string }

// user is the watcher's operating system user; ok is false when it is not there.
func (f facts) user() (u systemUser, ok bool) {
	fields := strings.Split(f.one("user"), ":")
	if len(fields) != 7 {
		return systemUser{}, false
	}
	return systemUser{fields[4], fields[5], fields[6]}, true
}

func (u systemUser) made() bool { return u.comment == userMark }

func userMissing(_ plan.Step, f facts) error {
	switch u, there := f.user(); {
	case !there:
		return fmt.Errorf("there is no user %s", postgres.WatcherRole)
	case u.made() && (u.shell != nologin || u.home != "/nonexistent"):
		return fmt.Errorf("its user %s has the shell %s and the home %s, expected neither", postgres.WatcherRole, u.shell, u.home)
	}
	return nil
}

// makeUserScript gets the name and the comment. A system user made by useradd has no password (useradd(8)).
const makeUserScript = `set -eu
if line=$(getent passwd "$1"); then
  [ "$(echo "$line" | cut -d : -f 5)" != "$2" ] || usermod -d /nonexistent -s ` + nologin + ` "$1"
  exit 0
fi
if getent group "$1" >/dev/null; then group="-g $1"; else group=-U; fi
useradd --system --no-create-home --home-dir /nonexistent --shell ` + nologin + ` --comment "$2" $group "$1"`

func (d *Deployer) makeUser(ctx context.Context, _ plan.Step, host remote.Host) error {
	return d.run(ctx, host, makeUserScript, postgres.WatcherRole, userMark)
}

func userLeft(_ plan.Step, f facts) error {
	if u, there := f.user(); there && u.made() {
		return errors.New("its user " + postgres.WatcherRole + " is still there")
	}
	return nil
}

// dropUserScript gets the name and the comment. The last process of the watcher may be ending still: userdel(8) says so by 8.
const dropUserScript = `set -eu
line=$(getent passwd "$1") || exit 0
[ "$(echo "$line" | cut -d : -f 5)" = "$2" ] || exit 0
for _ in 1 2 3 4 5 6 7 8 9 10; do
  code=0
  said=$(userdel "$1" 2>&1) || code=$?
  [ $code = 8 ] || break
  sleep 1
done
[ $code = 0 ] || { echo "$said" >&2; exit $code; }`

func (d *Deployer) dropUser(ctx context.Context, _ plan.Step, host remote.Host) error {
	return d.run(ctx, host, dropUserScript, postgres.WatcherRole, userMark)
}
