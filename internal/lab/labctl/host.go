package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/pgctl/pgctl/internal/lab"
)

// hostCommand is a command that acts on one host; args are what follows its name.
type hostCommand struct {
	usage    string // of the arguments after HOST
	min, max int    // how many; max -1 is any number
	run      func(ctx context.Context, r *lab.Region, h *lab.Host, args []string) error
}

func hostCommands() map[string]hostCommand {
	simple := func(run func(*lab.Host, context.Context) error) hostCommand {
		return hostCommand{run: func(ctx context.Context, _ *lab.Region, h *lab.Host, _ []string) error { return run(h, ctx) }}
	}
	local := func(run func(*lab.Host) error) hostCommand {
		return hostCommand{run: func(_ context.Context, _ *lab.Region, h *lab.Host, _ []string) error { return run(h) }}
	}
	pattern := func(run func(*lab.Host, string) error) hostCommand {
		return hostCommand{usage: "[PATTERN]", max: 1, run: func(_ context.Context, _ *lab.Region, h *lab.Host, args []string) error {
			return run(h, strings.Join(args, ""))
		}}
	}
	service := func(run func(*lab.Host, context.Context, string) error) hostCommand {
		return hostCommand{usage: "SERVICE", min: 1, max: 1, run: func(ctx context.Context, _ *lab.Region, h *lab.Host, args []string) error {
			return run(h, ctx, args[0])
		}}
	}
	return map[string]hostCommand{
		"exec": {usage: "COMMAND...", min: 1, max: -1, run: func(ctx context.Context, _ *lab.Region, h *lab.Host, args []string) error {
			return attach(ctx, h, args...)
		}},
		"shell": {run: func(ctx context.Context, _ *lab.Region, h *lab.Host, _ []string) error {
			return attach(ctx, h, "env", "--chdir=/root", "/bin/bash", "-l")
		}},
		"cut":          {usage: "[OTHER]", max: 1, run: cut},
		"kill":         simple((*lab.Host).Kill),
		"boot":         simple((*lab.Host).Boot),
		"heal":         simple((*lab.Host).Heal),
		"freeze":       pattern((*lab.Host).Freeze),
		"thaw":         pattern((*lab.Host).Thaw),
		"fill":         local((*lab.Host).FillDisk),
		"free":         local((*lab.Host).FreeDisk),
		"lose-names":   local((*lab.Host).BreakNames),
		"find-names":   local((*lab.Host).MendNames),
		"stop":         service((*lab.Host).Stop),
		"start":        service((*lab.Host).Start),
		"kill-service": service((*lab.Host).KillService),
	}
}

// onHost finds the host that the arguments name and runs the command.
func onHost(ctx context.Context, verb string, command hostCommand, args []string) error {
	flags := flag.NewFlagSet("labctl "+verb, flag.ContinueOnError)
	name := flags.String("name", "region", "region `name`")
	if err := parse(flags, args); err != nil {
		return err
	}
	args = flags.Args()
	if len(args) < 1+command.min || command.max >= 0 && len(args) > 1+command.max {
		fmt.Fprintf(os.Stderr, "usage: labctl %s [-name REGION] HOST %s\n", verb, command.usage)
		return errUsage
	}
	region, host, err := find(*name, args[0])
	if err != nil {
		return err
	}
	return command.run(ctx, region, host, args[1:])
}

func find(name, hostName string) (*lab.Region, *lab.Host, error) {
	region, err := lab.Open(name)
	if err != nil {
		return nil, nil, err
	}
	host := region.Host(hostName)
	if host == nil {
		var names []string
		for _, h := range region.Hosts() {
			names = append(names, h.Name())
		}
		return nil, nil, fmt.Errorf("region %s has no host %q, only %s", name, hostName, strings.Join(names, ", "))
	}
	return region, host, nil
}

// attach runs a command on a host with our own standard streams, and passes its
// exit status on.
func attach(ctx context.Context, h *lab.Host, argv ...string) error {
	cmd, err := h.Command(context.WithoutCancel(ctx), argv...) // Ctrl-C is the command's, not ours
	if err != nil {
		return err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	var status *exec.ExitError
	if errors.As(err, &status) {
		if code := status.ExitCode(); code >= 0 {
			return exitCode(code)
		}
	}
	return err
}

func cut(ctx context.Context, region *lab.Region, host *lab.Host, args []string) error {
	if len(args) == 0 {
		return host.Cut(ctx)
	}
	other := region.Host(args[0])
	if other == nil || other == host {
		return fmt.Errorf("cut %s from %q: want another host of the region", host.Name(), args[0])
	}
	return host.CutFrom(ctx, other)
}

func push(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("labctl push", flag.ContinueOnError)
	name := flags.String("name", "region", "region `name`")
	if err := parse(flags, args); err != nil {
		return err
	}
	args = flags.Args()
	if len(args) != 2 || !strings.Contains(args[1], ":") {
		fmt.Fprintln(os.Stderr, "usage: labctl push [-name REGION] FILE HOST:PATH")
		return errUsage
	}
	hostName, path, _ := strings.Cut(args[1], ":")
	_, host, err := find(*name, hostName)
	if err != nil {
		return err
	}
	info, err := os.Stat(args[0])
	if err != nil {
		return err
	}
	return host.Push(ctx, args[0], path, info.Mode())
}
