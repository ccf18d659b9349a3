package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// tools are the commands the lab calls, with the Debian packages that have them.
func tools() [][2]string {
	return [][2]string{
		{"systemd-nspawn", "systemd-container"},
		{"mmdebstrap", "mmdebstrap"},
		{"ip", "iproute2"},
		{"nft", "nftables"},
		{"nsenter", "util-linux"},
		{"unshare", "util-linux"},
		{"mount", "mount"},
	}
}

// probes are what the kernel must let us do; each runs in namespaces that vanish
// with it.
func probes() []struct{ what, script string } {
	return []struct{ what, script string }{
		{"mount an overlay on a tmpfs", "d=$(mktemp -d) && trap 'umount -l $d/r $d; rmdir $d' EXIT && mount -t tmpfs tmpfs $d && " +
			"mkdir $d/l $d/u $d/w $d/r && mount -t overlay overlay -o lowerdir=$d/l,upperdir=$d/u,workdir=$d/w $d/r"},
		{"make a bridge and a veth pair in a network namespace", "ip link add br0 type bridge && ip link add v0 type veth peer name v1"},
		{"filter between the ports of a bridge with nftables", "nft add table bridge t && nft 'add chain bridge t c { type filter hook forward priority 0; }'"},
	}
}

// Available is nil when this machine can run the lab, else one sentence that says
// why it cannot and what it needs.
func Available() error {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf("the lab needs Linux on amd64, this is %s on %s", runtime.GOOS, runtime.GOARCH)
	}
	if os.Geteuid() != 0 {
		return errors.New("the lab needs root, for namespaces, mounts and control groups: run it with sudo or in a virtual machine")
	}
	var missing, packages []string
	for _, tool := range tools() {
		if _, err := exec.LookPath(tool[0]); err != nil {
			missing, packages = append(missing, tool[0]), append(packages, tool[1])
		}
	}
	if missing != nil {
		return fmt.Errorf("the lab needs %s: apt-get install %s", strings.Join(missing, ", "), strings.Join(packages, " "))
	}
	if err := probeCgroups(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, p := range probes() {
		if err := run(ctx, "unshare", "--mount", "--net", "--pid", "--fork", "sh", "-c", p.script); err != nil {
			said := err.Error()
			return fmt.Errorf("the lab cannot %s here (%s): run it on a machine or virtual machine of its own, not in a container",
				p.what, said[strings.LastIndexByte(said, '\n')+1:])
		}
	}
	return nil
}
