package failover

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/remote"
)

//go:embed ha_node.sh
var haNodeScript string

// writtenWithin is how old the status file of a watcher that runs may be. It is written every second.
const writtenWithin = 10 * time.Second

// NodeFile is what a node has of the roll-out, and what its watcher made of it.
type NodeFile struct {
	Failure string // why the node could not be asked; then nothing else is known
	SHA256  string // of its server.yaml; "" when there is none
	Watcher *watcherFile
	Age     time.Duration // since Watcher was written
}

// watcherFile is what is read of pg_watcher.PGMonitor.
type watcherFile struct {
	Program string `json:"program"`
	Config  struct {
		SHA256 string  `json:"sha256"`
		Error  *string `json:"error"`
	} `json:"config"`
}

// askNode asks one node. The status file of another program, in whatever format, is one of no program.
func askNode(ctx context.Context, host remote.Host) NodeFile {
	out, err := host.Run(ctx, remote.Script(haNodeScript, nodeFile))
	if err != nil {
		return NodeFile{Failure: strings.TrimPrefix(err.Error(), host.Name()+": ")}
	}
	return parseNode(string(out.Stdout))
}

func parseNode(text string) NodeFile {
	var n NodeFile
	head, status, written := strings.Cut(text, "\nstatus ")
	n.SHA256 = strings.TrimSpace(head)
	if !written {
		return n
	}
	age, content, _ := strings.Cut(status, "\n")
	seconds, err := strconv.Atoi(strings.TrimSpace(age))
	if err != nil {
		return NodeFile{Failure: fmt.Sprintf("it gave no age of its watcher's file: %q", cluster.Printable(age))}
	}
	n.Age, n.Watcher = time.Duration(seconds)*time.Second, &watcherFile{}
	if json.Unmarshal([]byte(content), n.Watcher) != nil {
		n.Watcher = &watcherFile{}
	}
	return n
}

// took tells whether the node's watcher goes by the file with this hash. doubt is why nobody can know, pending why not yet.
func (n NodeFile) took(hash string) (doubt, pending string) {
	switch w := n.Watcher; {
	case w == nil:
		return "no watcher has written /var/run/pg_watcher.PGMonitor: nobody there has taken it", ""
	case w.Program != "pgctl":
		return "its watcher is not pgctl's: that it took the file cannot be proven", ""
	case n.Age > writtenWithin:
		return "", fmt.Sprintf("its watcher has written nothing for %s", n.Age)
	case w.Config.SHA256 != hash:
		return "", "its watcher goes by another file still"
	case w.Config.Error != nil:
		return "", "its watcher cannot use the file: " + cluster.Printable(*w.Config.Error)
	}
	return "", ""
}
