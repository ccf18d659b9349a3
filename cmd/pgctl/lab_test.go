//go:build lab

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgctl/pgctl/internal/lab"
)

// slots are the names of the regions that may be up at one time, as many as go test -parallel says. A name is used again, so that what a run that
// was killed left mounted is cleaned up by the next one.
var slots = sync.OnceValue(func() chan string {
	n, err := strconv.Atoi(flag.Lookup("test.parallel").Value.String())
	if err != nil {
		panic(err)
	}
	all := make(chan string, n)
	for i := range n {
		all <- fmt.Sprintf("%s%d", cmp.Or(os.Getenv("PGCTL_LAB_REGION"), "story"), i+1)
	}
	return all
})

// region starts a region for one test, with this tree's pgctl on firstbox. Tests with a region run side by side (go test -parallel).
func region(t *testing.T, spec lab.Spec) *lab.Region {
	t.Helper()
	if err := lab.Available(); err != nil {
		t.Skip(err)
	}
	t.Parallel()
	spec.Name = <-slots()
	t.Cleanup(func() { slots() <- spec.Name })
	spec.Binary = filepath.Join(t.TempDir(), "pgctl")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", spec.Binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	spec.Log = t.Output()
	r, err := lab.Up(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Down(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return r
}

// tell runs a part of a story. The default stories (TestLab) tell what an operator meets first; the matrices tell all.
func tell(t *testing.T, all bool, name string, part func(t *testing.T)) {
	t.Helper()
	if all || strings.HasPrefix(t.Name(), "TestMatrix") {
		t.Run(name, part)
	}
}

const (
	always   = true
	inMatrix = false
)

// pgctl runs pgctl on firstbox, as an operator would.
func pgctl(t *testing.T, r *lab.Region, args ...string) lab.Result {
	t.Helper()
	result, err := r.Firstbox().Exec(t.Context(), append([]string{"pgctl"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// overviewOf is the region as `overview -o json` shows it, and its exit code.
func overviewOf(t *testing.T, r *lab.Region, args ...string) (overviewDoc, int) {
	t.Helper()
	result := pgctl(t, r, append([]string{"overview", "-o", "json"}, args...)...)
	var doc overviewDoc
	if err := json.Unmarshal([]byte(result.Stdout), &doc); err != nil {
		t.Fatalf("overview: %v\n%s%s", err, result.Stdout, result.Stderr)
	}
	return doc, result.Exit
}

// codes lists a document's findings as "code host", in its order.
func codes(doc overviewDoc) []string {
	found := []string{}
	for _, f := range doc.Findings {
		found = append(found, strings.TrimSpace(string(f.Code)+" "+value(f.Host)))
	}
	return found
}

// settles asks until overview has exactly these findings, or the limit has passed: the world needs a moment to be what a
// fault made of it. It returns the last document and how long the last answer took.
func settles(t *testing.T, r *lab.Region, want []string, args ...string) (overviewDoc, time.Duration) {
	t.Helper()
	limit := time.Now().Add(40 * time.Second)
	for {
		began := time.Now()
		doc, code := overviewOf(t, r, args...)
		took := time.Since(began)
		wantCode := exitDone
		if slices.ContainsFunc(doc.Findings, func(f findingDoc) bool { return f.Severity == "critical" }) {
			wantCode = exitUnhealthy
		}
		if code != wantCode {
			t.Fatalf("exit code %d with the findings %q", code, codes(doc))
		}
		if slices.Equal(codes(doc), want) {
			return doc, took
		}
		if time.Now().After(limit) {
			t.Fatalf("findings %s\nexpected %q", describeFindings(doc), want)
		}
		time.Sleep(300 * time.Millisecond)
	}
}

func describeFindings(doc overviewDoc) string {
	var all []string
	for _, f := range doc.Findings {
		all = append(all, fmt.Sprintf("%s %s: %s -> %s", f.Code, value(f.Host), f.Message, f.Hint))
	}
	return strings.Join(all, "\n")
}

func finding(doc overviewDoc, code, host string) findingDoc {
	for _, f := range doc.Findings {
		if string(f.Code) == code && value(f.Host) == host {
			return f
		}
	}
	return findingDoc{}
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// must fails the test when a step of the story itself goes wrong.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func shell(t *testing.T, h *lab.Host, script string) string {
	t.Helper()
	out, err := h.Shell(t.Context(), script)
	if err != nil {
		t.Fatalf("%s: %s: %v", h.Name(), script, err)
	}
	return strings.TrimSpace(out)
}

func psql(t *testing.T, h *lab.Host, sql string) string {
	t.Helper()
	out, err := h.PSQL(t.Context(), sql)
	if err != nil {
		t.Fatalf("%s: %s: %v", h.Name(), sql, err)
	}
	return strings.TrimSpace(out)
}
