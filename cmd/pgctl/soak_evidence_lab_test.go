//go:build lab

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgctl/pgctl/internal/register"
)

// evidence keeps what is needed to find out why: the history, the schedule as it happened, a page for each register that is broken, what every host
// logged, what the quorum decided.
func (s *soak) evidence(t *testing.T, history []register.Op, v register.Verdict) {
	dir, err := os.MkdirTemp("", "pgctl-soak-")
	must(t, err)
	t.Logf("SOAK_SEED=%d; what is known is in %s", s.seed, dir)
	keep := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	}
	var b strings.Builder
	for _, o := range history {
		line, _ := json.Marshal(o)
		fmt.Fprintf(&b, "%s\n", line)
	}
	keep("history.jsonl", b.String())
	b.Reset()
	for _, d := range s.done {
		at := s.regs.Began().Add(d.began)
		fmt.Fprintf(&b, "%s %.3f s: %s for %s: %s%s\n", at.Format(time.RFC3339Nano), d.began.Seconds(), d.kind.name, d.lasts, d.said, because(d.err))
	}
	keep("faults.txt", fmt.Sprintf("seed %d, region %+v, began %s\n%s\n%s", s.seed, s.spec, s.regs.Began().Format(time.RFC3339Nano), &b, s.table()))
	for _, id := range v.Broken {
		b.Reset()
		if err := register.Draw(history, id, time.Minute, &b); err != nil {
			t.Error(err)
		}
		keep(fmt.Sprintf("register-%d.html", id), b.String())
	}
	for _, h := range s.r.Hosts()[1:] {
		out, err := h.Shell(t.Context(), "for f in $(ls -tr /var/log/pgctl/watch.log*); do cat $f; done")
		keep(h.Name()+"-watch.log", out+because(err))
		out, err = h.Shell(t.Context(), "cat /var/log/postgresql/*.log /opt/postgresql/log/* 2>/dev/null; true")
		keep(h.Name()+"-postgresql.log", out+because(err))
	}
	out, err := s.r.Firstbox().Exec(t.Context(), "pgctl", "history")
	keep("decisions.txt", out.Stdout+out.Stderr+because(err))
}
