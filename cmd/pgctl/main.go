// Command pgctl shows, repairs and keeps available a PostgreSQL cluster behind pgpool-II.
package main

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	forgetLibpq()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	signal.Ignore(syscall.SIGPIPE) // a plan is not cut in half because nobody reads its progress
	context.AfterFunc(ctx, stop)   // the second Ctrl-C ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// forgetLibpq takes libpq's variables (PGHOST, PGSERVICE, PGTARGETSESSIONATTRS and so on) out of the environment: they are the
// wishes of the operator's own clients, and which server is asked and how is pgctl's to say. The pgpass file's place is kept.
func forgetLibpq() {
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "PG") && !strings.HasPrefix(name, "PGCTL") && name != "PGPASSFILE" {
			_ = os.Unsetenv(name) // fails for an impossible name only
		}
	}
}
