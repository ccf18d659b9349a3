package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/failover"
	"github.com/pgctl/pgctl/pkg/remote"
)

// lock takes the region's lock.
func (a *app) lock(ctx context.Context, c change) (*failover.Lock, error) {
	who, err := operator()
	if err != nil {
		return nil, err
	}
	var hosts []remote.Host
	for _, name := range c.lockOn {
		hosts = append(hosts, c.site.Hosts(name))
	}
	owner := fmt.Sprintf("%s, %s, pid %d, since %s", who, c.plan.Name, os.Getpid(), a.now().Format(time.DateTime))
	lock, err := failover.TakeLock(ctx, hosts, owner, a.timeout)
	var held *cluster.Refusal
	if err != nil && c.urgent && !errors.As(err, &held) {
		fmt.Fprintf(a.err, "pgctl: warning: going on without the lock: %v\n", err)
		return &failover.Lock{}, nil
	}
	return lock, err
}

// confirm asks on a terminal; elsewhere --yes must have been given.
func (a *app) confirm(ctx context.Context, command string, yes bool) error {
	if yes {
		return nil
	}
	file, isFile := a.in.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return usageError(command, errors.New("there is no terminal to ask on: --yes is needed"))
	}
	fmt.Fprint(a.err, "Run this plan? Type yes: ")
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(a.in).ReadString('\n')
		answer <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.err, "\npgctl: nothing was changed")
		return ctx.Err()
	case said := <-answer:
		if said != "yes" {
			return &exitError{code: exitFailed, err: errors.New("not confirmed, nothing was changed")}
		}
		return nil
	}
}
