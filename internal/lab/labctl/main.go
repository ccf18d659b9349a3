// Command labctl builds a region of real hosts on this machine, and breaks it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: labctl COMMAND [flags] [arguments]

  check                   can this machine run the lab?
  image                   build the base image now (else the first up does)
  up                      build the region (labctl up -h lists what can be chosen)
  down                    take it down; -all: every region
  status                  regions and their hosts
  exec HOST COMMAND...    run a command on a host
  shell HOST              a root shell on a host
  push FILE HOST:PATH     copy a file onto a host
  writer -target HOSTS    write all the time, and tell outages (labctl writer -h)

  kill HOST               power failure           boot HOST    power on again
  cut HOST [OTHER]        off the network, or only what HOST sends to OTHER
  heal HOST               on the network again
  freeze HOST [PATTERN]   SIGSTOP, by command line, "postmaster", or everything
  thaw HOST [PATTERN]     SIGCONT
  fill HOST               fill the disk of the data directory     free HOST
  lose-names HOST         break name resolution                   find-names HOST
  stop|start|kill-service HOST SERVICE

Every command takes -name REGION before its arguments (default "region").
`

// errUsage is returned when the command line makes no sense; the message is out.
var errUsage = errors.New("wrong usage")

// exitCode is an exit status to pass on, of a command run on a host.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit %d", int(e)) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := dispatch(ctx, os.Args[1:])
	var code exitCode
	switch {
	case err == nil:
	case errors.Is(err, errUsage):
		os.Exit(2)
	case errors.As(err, &code):
		os.Exit(int(code))
	default:
		fmt.Fprintf(os.Stderr, "labctl: error: %v\n", err)
		os.Exit(1)
	}
}

func dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" || args[0] == "help" {
		fmt.Fprint(os.Stderr, usage)
		if len(args) == 0 {
			return errUsage
		}
		return nil
	}
	verb, rest := args[0], args[1:]
	switch verb {
	case "check":
		return check(rest)
	case "image":
		return image(ctx, rest)
	case "up":
		return up(ctx, rest)
	case "down":
		return down(ctx, rest)
	case "status":
		return status(rest)
	case "push":
		return push(ctx, rest)
	case "writer":
		return writer(ctx, rest)
	}
	if run, ok := hostCommands()[verb]; ok {
		return onHost(ctx, verb, run, rest)
	}
	fmt.Fprintf(os.Stderr, "labctl: error: no command %q\n\n%s", verb, usage)
	return errUsage
}
