package watch

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"github.com/pgctl/pgctl/pkg/nodes"
)

// config is the server.yaml that is in force.
type config struct {
	path    string
	taken   bool
	watcher *nodes.Watcher // nil: none was taken, or the file has no pg_watcher section
	sum     string         // of the file that was taken, hex; "" none
	problem string         // why the file as it lies there is not in force; "" when it is
	last    []byte         // what lay there the round before
}

// look reads the file again. A change is taken when it lies there a second time: what a copy has written half may well be
// YAML, with inactive_failover missing. Only the first file of a watcher's life is taken as it is found.
func (c *config) look() {
	data, err := os.ReadFile(c.path)
	if err != nil {
		c.problem, c.last = fmt.Sprintf("cannot read it: %v", err), nil
		return
	}
	sum := sha256.Sum256(data)
	text := hex.EncodeToString(sum[:])
	settled := bytes.Equal(data, c.last)
	c.last = data
	switch {
	case c.taken && text == c.sum:
		c.problem = ""
	case settled || !c.taken:
		c.take(data, text)
	}
}

func (c *config) take(data []byte, sum string) {
	watcher, _, err := nodes.ParseServerYAML("local", nodes.File{Path: c.path, Data: data})
	if err != nil {
		c.problem = strings.ReplaceAll(err.Error(), "\n", "; ")
		return
	}
	c.watcher, c.sum, c.taken, c.problem = watcher, sum, true, ""
}

// part is what a host is to the watcher.
type part string

const (
	partServer  part = "server"
	partArbiter part = "arbiter"
	partNone    part = "none" // a pool's host: it watches, and has no vote
	partUnknown part = "unknown"
)

// partOf looks a host up, by its name or by the first label of it.
func (c *config) partOf(host string) part {
	if c.watcher == nil {
		return partUnknown
	}
	for _, n := range c.watcher.Nodes {
		if sameHost(n.Host, host) {
			return partServer
		}
	}
	for _, g := range c.watcher.Globals {
		if sameHost(g, host) {
			return partArbiter
		}
	}
	return partNone
}

func sameHost(listed, host string) bool {
	short, _, _ := strings.Cut(host, ".")
	return strings.EqualFold(listed, host) || strings.EqualFold(listed, short)
}
