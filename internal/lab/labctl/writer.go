package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/pgctl/pgctl/internal/lab"
)

// writer writes for a while, or until Ctrl-C, and prints what came of it.
func writer(ctx context.Context, args []string) error {
	var spec lab.WriterSpec
	flags := flag.NewFlagSet("labctl writer", flag.ContinueOnError)
	name := flags.String("name", "region", "region `name`")
	targets := flags.String("target", "", "`hosts`, with commas, to write through; the next one after an error")
	flags.IntVar(&spec.Port, "port", 9999, "`port` of the targets, the pool's or the server's")
	flags.DurationVar(&spec.Interval, "interval", 10*time.Millisecond, "`time` between two writes")
	length := flags.Duration("for", 10*time.Second, "how `long`")
	if err := errors.Join(parse(flags, args), noArguments(flags)); err != nil {
		return err
	}
	if *targets == "" {
		fmt.Fprintln(os.Stderr, "labctl: error: writer needs -target, such as -target db1")
		return errUsage
	}
	for target := range strings.SplitSeq(*targets, ",") {
		_, host, err := find(*name, target)
		if err != nil {
			return err
		}
		spec.Targets = append(spec.Targets, host)
	}
	report, err := write(ctx, *name, spec, *length)
	if err == nil {
		fmt.Print(report)
	}
	return err
}

func write(ctx context.Context, name string, spec lab.WriterSpec, length time.Duration) (lab.WriterReport, error) {
	region, err := lab.Open(name)
	if err != nil {
		return lab.WriterReport{}, err
	}
	w, err := region.StartWriter(ctx, spec)
	if err != nil {
		return lab.WriterReport{}, err
	}
	select {
	case <-ctx.Done():
	case <-time.After(length):
	}
	return w.Stop()
}
