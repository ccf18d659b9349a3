package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/plan"
)

// stateDir is where pgctl keeps its journal.
const stateDir = "/var/lib/pgctl"

func journalDir() string { return filepath.Join(stateDir, "journal") }

// begun are the changes that this machine's pgctl began and that have not ended, by their journals.
func begun() []cluster.Begun {
	paths, err := plan.Journals(journalDir())
	if err != nil {
		return []cluster.Begun{{Failure: &cluster.Failure{Message: "whether a change was begun and has not ended cannot be told: " + err.Error(), Hint: "run pgctl as root"}}}
	}
	var all []cluster.Begun
	for _, path := range paths {
		left, done, err := plan.Unfinished(path)
		switch {
		case err != nil:
			all = append(all, cluster.Begun{Failure: &cluster.Failure{Message: err.Error()}})
		case left != nil: // else it has just ended
			all = append(all, cluster.Begun{Command: commandOf(*left), Back: backOf(*left, done), AtWork: atWork(plan.RunBy(path)), Done: done, Steps: len(left.Steps)})
		}
	}
	return all
}

// atWork is the process, if it is a pgctl that runs; else 0.
func atWork(pid int) int {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || strings.TrimSpace(string(name)) != "pgctl" || pid == os.Getpid() {
		return 0
	}
	return pid
}

// backOf is the command that goes back, where one does.
func backOf(p plan.Plan, done int) string {
	if from := p.Facts["from"]; p.Name == "switchover" && from != "" && failover.BeforePromotion(p, done) {
		return "switchover --to " + from
	}
	return ""
}

// commandOf is the command that goes on with a plan.
func commandOf(p plan.Plan) string {
	if name, isBack := strings.CutSuffix(p.Name, failover.BackSuffix); isBack {
		return name + " --to " + p.Facts["from"]
	}
	if to := p.Facts["to"]; to != "" {
		return p.Name + " --to " + to
	}
	return p.Name
}

// forget removes the journal of another command whose work is overtaken.
func (a *app) forget(name string) error {
	if err := os.Remove(journalPath(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// finished removes the journal of an earlier run when nothing is left to do.
func (a *app) finished(c change, o changeOpts) error {
	if o.dryRun {
		return nil
	}
	if old, _, err := plan.Unfinished(journalPath(c.plan.Name)); err != nil || old == nil {
		return err
	}
	return os.Remove(journalPath(c.plan.Name))
}

func journalPath(name string) string {
	return filepath.Join(journalDir(), strings.ReplaceAll(name, " ", "-")+".json")
}
