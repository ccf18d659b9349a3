package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/pgctl/pgctl/internal/lab"
)

// parse reads flags; what is wrong with them is printed, with the usage.
func parse(flags *flag.FlagSet, args []string) error {
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return exitCode(0)
	}
	if err != nil {
		return errUsage
	}
	return nil
}

func noArguments(flags *flag.FlagSet) error {
	if flags.NArg() == 0 {
		return nil
	}
	fmt.Fprintf(os.Stderr, "labctl: error: %s takes no argument, got %q\n", flags.Name(), flags.Arg(0))
	return errUsage
}

func check(args []string) error {
	flags := flag.NewFlagSet("labctl check", flag.ContinueOnError)
	if err := errors.Join(parse(flags, args), noArguments(flags)); err != nil {
		return err
	}
	if err := lab.Available(); err != nil {
		return err
	}
	fmt.Println("this machine can run the lab")
	return nil
}

func image(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("labctl image", flag.ContinueOnError)
	if err := errors.Join(parse(flags, args), noArguments(flags)); err != nil {
		return err
	}
	if err := lab.Available(); err != nil {
		return err
	}
	dir, err := lab.EnsureImage(ctx, os.Stderr)
	if err == nil {
		fmt.Println(dir)
	}
	return err
}

func up(ctx context.Context, args []string) error {
	var spec lab.Spec
	var noSystemd, hint string
	flags := flag.NewFlagSet("labctl up", flag.ContinueOnError)
	flags.StringVar(&spec.Name, "name", "region", "region `name`")
	flags.IntVar(&spec.Servers, "servers", 0, "PostgreSQL servers, 1 to 4; 0: two")
	flags.IntVar(&spec.Arbiters, "arbiters", 0, "arbiters, 1 to 4; 0: two with fewer than three servers, else none; -1: none")
	flags.BoolVar(&spec.NoPools, "no-pools", false, "no pools")
	flags.BoolVar(&spec.OwnPools, "own-pools", false, "pools on hosts of their own, not on the first two servers")
	flags.StringVar(&spec.Postgres, "postgres", "", "PostgreSQL `version`, 15 (the default) or 10")
	flags.BoolVar(&spec.PG9, "pg9", false, "a PostgreSQL 9.x site of installer 3.x: pgmaster and pgslave, two pools that can fail over, no systemd")
	flags.StringVar(&noSystemd, "no-systemd", "", "`hosts`, with commas, that run without systemd")
	flags.BoolVar(&spec.HAOn, "ha", false, "inactive_failover: 0 in every server.yaml")
	flags.StringVar(&spec.Binary, "binary", "", "pgctl `file` that firstbox gets")
	flags.StringVar(&hint, "hint", "", "`command` to tell for getting into firstbox")
	if err := errors.Join(parse(flags, args), noArguments(flags)); err != nil {
		return err
	}
	if noSystemd != "" {
		spec.NoSystemd = strings.Split(noSystemd, ",")
	}
	region, err := lab.Up(ctx, spec)
	if err != nil {
		return err
	}
	describe(region)
	if hint == "" {
		hint = "labctl shell -name " + region.Name() + " firstbox"
	}
	fmt.Printf("\nGet in:  %s\n", hint)
	return nil
}

func down(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("labctl down", flag.ContinueOnError)
	name := flags.String("name", "region", "region `name`")
	all := flags.Bool("all", false, "every region")
	if err := errors.Join(parse(flags, args), noArguments(flags)); err != nil {
		return err
	}
	if *all {
		return lab.DownAll(ctx)
	}
	return lab.Down(ctx, *name)
}

func status(args []string) error {
	flags := flag.NewFlagSet("labctl status", flag.ContinueOnError)
	if err := errors.Join(parse(flags, args), noArguments(flags)); err != nil {
		return err
	}
	names := lab.Regions()
	if len(names) == 0 {
		fmt.Println("no region is up")
	}
	for _, name := range names {
		region, err := lab.Open(name)
		if err != nil {
			fmt.Printf("Region %s: remains of a run that was killed; labctl down -name %s removes them\n", name, name)
			continue
		}
		describe(region)
	}
	return nil
}

// describe prints what is where.
func describe(region *lab.Region) {
	spec := region.Spec()
	version := spec.Postgres
	if spec.PG9 {
		version += " in the place of 9.3"
	}
	fmt.Printf("Region %s: PostgreSQL %s, data in %s, port %d; pools on port 9999\n\n",
		region.Name(), version, region.Servers()[0].DataDir(), region.Servers()[0].Port())
	fmt.Printf("%-10s %-15s %-8s %-6s %s\n", "HOST", "ADDRESS", "ZONE", "STATE", "ROLE")
	for _, h := range region.Hosts() {
		state := "up"
		if !h.Running() {
			state = "down"
		}
		zone := h.Zone()
		if zone == "" {
			zone = "-"
		}
		fmt.Printf("%-10s %-15s %-8s %-6s %s\n", h.Name(), h.Addr(), zone, state, strings.Join(roles(region, h), ", "))
	}
}

func roles(region *lab.Region, host *lab.Host) []string {
	var roles []string
	for _, r := range []struct {
		name  string
		hosts []*lab.Host
	}{
		{"operators", []*lab.Host{region.Firstbox()}},
		{"server", region.Servers()},
		{"pool", region.Pools()},
		{"arbiter", region.Arbiters()},
	} {
		for _, h := range r.hosts {
			if h.Name() == host.Name() {
				roles = append(roles, r.name)
			}
		}
	}
	if !host.Systemd() {
		roles = append(roles, "no systemd")
	}
	return roles
}
