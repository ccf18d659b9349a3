package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The region's network: one bridge in a network namespace, one port a host. The
// set "oneway" holds pairs of ports between which IP packets are dropped in that
// direction; ARP passes, so the other direction stays open.
const (
	bridge   = "br0"
	nftRules = `
table bridge lab {
	set oneway { type ifname . ifname; }
	chain forward {
		type filter hook forward priority 0; policy accept;
		ether type { ip, ip6 } meta iifname . meta oifname @oneway drop
	}
}
`
)

// port is the name of a host's end at the bridge; systemd-nspawn calls it so.
func port(host string) string { return "vb-" + host }

func createNetwork(ctx context.Context, region string) error {
	ns := netnsName(region)
	steps := [][]string{
		{"ip", "netns", "add", ns},
		{"ip", "-n", ns, "link", "set", "lo", "up"},
		{"ip", "-n", ns, "link", "add", bridge, "type", "bridge", "forward_delay", "0", "stp_state", "0", "mcast_snooping", "0"},
		{"ip", "-n", ns, "address", "add", gateway, "dev", bridge},
		{"ip", "-n", ns, "link", "set", bridge, "up"},
		{"ip", "netns", "exec", ns, "nft", nftRules},
	}
	for _, step := range steps {
		if err := run(ctx, step...); err != nil {
			return fmt.Errorf("network of region %s: %w", region, err)
		}
	}
	return nil
}

func removeNetwork(ctx context.Context, region string) error {
	if _, err := os.Stat(filepath.Join("/run/netns", netnsName(region))); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return run(ctx, "ip", "netns", "delete", netnsName(region))
}

func hasPort(ctx context.Context, region, host string) bool {
	return run(ctx, "ip", "-n", netnsName(region), "link", "show", port(host)) == nil
}

// Cut takes the host off the network: its link stays up, and nothing passes. A
// boot brings it back, as Heal does.
func (h *Host) Cut(ctx context.Context) error {
	return h.plug(ctx, "nomaster")
}

// Heal undoes Cut, and every CutFrom of this host.
func (h *Host) Heal(ctx context.Context) error {
	errs := []error{h.plug(ctx, "master", bridge)}
	for _, other := range h.region.Hosts() {
		if other.Name() != h.Name() {
			errs = append(errs, h.oneWay(ctx, "add", other), h.oneWay(ctx, "delete", other))
		}
	}
	return errors.Join(errs...)
}

// CutFrom drops what this host sends to the other one; the other direction stays
// open.
func (h *Host) CutFrom(ctx context.Context, other *Host) error {
	return h.oneWay(ctx, "add", other)
}

func (h *Host) plug(ctx context.Context, how ...string) error {
	argv := append([]string{"ip", "-n", netnsName(h.region.Name()), "link", "set", port(h.Name())}, how...)
	if err := run(ctx, argv...); err != nil {
		return fmt.Errorf("%s: network: %w", h.Name(), err)
	}
	return nil
}

// oneWay adds or deletes a pair of the set. Adding twice is no error, so add before
// delete makes deleting one that is absent harmless.
func (h *Host) oneWay(ctx context.Context, verb string, other *Host) error {
	element := fmt.Sprintf(`{ "%s" . "%s" }`, port(h.Name()), port(other.Name()))
	argv := []string{"ip", "netns", "exec", netnsName(h.region.Name()), "nft", verb, "element", "bridge", "lab", "oneway", element}
	if err := run(ctx, argv...); err != nil {
		return fmt.Errorf("%s: one way to %s: %w", h.Name(), other.Name(), err)
	}
	return nil
}

// regionsWithNetwork names the regions that have a network namespace.
func regionsWithNetwork() []string {
	var names []string
	paths, _ := filepath.Glob("/run/netns/" + netnsName("*"))
	for _, path := range paths {
		names = append(names, strings.TrimPrefix(filepath.Base(path), netnsName("")))
	}
	return names
}
