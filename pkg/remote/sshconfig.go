package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kevinburke/ssh_config"
)

const systemConfig = "/etc/ssh/ssh_config"

// settings is what the SSH configuration says about one host. Of a setting that
// may be given several times get gives the first.
type settings interface {
	get(keyword string) string
	all(keyword string) []string
}

// sshConfig is the SSH configuration of the user: ~/.ssh/config, then
// /etc/ssh/ssh_config, or in place of both the file of the options. It is read
// once. StrictHostKeyChecking is not heeded: no configuration makes an unknown
// host key acceptable.
type sshConfig struct {
	file string // of the options; empty is the two usual ones
	home string
	opts Options

	once   sync.Once
	parsed parsedConfig
	err    error
	scan   configScan
}

func newSSHConfig(opts Options) *sshConfig {
	home := opts.Home
	if home == "" {
		home, _ = os.UserHomeDir()
	}
	return &sshConfig{file: opts.ConfigFile, home: home, opts: opts}
}

// settings gives what the configuration says about a host.
func (c *sshConfig) settings(ctx context.Context, name string) (settings, error) {
	c.load()
	switch {
	case c.err != nil:
		return nil, c.err
	case c.bySSH():
		return c.askSSH(ctx, name)
	default:
		return namedSettings{c.parsed, name}, nil
	}
}

// bySSH tells whether the configuration is beyond the parser, so that ssh(1) has
// to be asked for each host. The parser knows no Match but two simple kinds, and
// reads some others as if they were host patterns.
func (c *sshConfig) bySSH() bool {
	c.load()
	return c.scan.match || c.scan.relativeInclude
}

func (c *sshConfig) load() {
	c.once.Do(func() {
		files := []string{filepath.Join(c.home, ".ssh", "config"), systemConfig}
		if c.file != "" {
			files = []string{c.file}
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if errors.Is(err, fs.ErrNotExist) && c.file == "" {
				continue
			}
			if err != nil {
				c.err = err
				return
			}
			c.scan.file(data, c.home, file == systemConfig, 0)
			if c.scan.match || c.scan.relativeInclude {
				continue // it may be beyond the parser
			}
			config, err := ssh_config.DecodeBytes(bytes.ReplaceAll(data, []byte("\t"), []byte(" ")))
			if err != nil {
				c.err = fmt.Errorf("%s: %w", file, err)
				return
			}
			c.parsed = append(c.parsed, config)
		}
	})
}

// expand replaces ~ and the tokens of ssh_config(5) in a value.
func (c *sshConfig) expand(s string, t *target) string {
	if s == "~" || strings.HasPrefix(s, "~/") {
		s = c.home + s[1:]
	}
	host, _ := os.Hostname()
	short, _, _ := strings.Cut(host, ".")
	s = strings.NewReplacer(
		"%%", "%", "%h", t.host, "%n", t.name, "%p", strconv.Itoa(t.port), "%r", t.user,
		"%d", c.home, "%u", userName(), "%l", host, "%L", short, "%i", strconv.Itoa(os.Getuid()),
		"%k", firstOf(t.hostKeyAlias, t.host),
	).Replace(s)
	for {
		before, rest, ok := strings.Cut(s, "${")
		name, after, closed := strings.Cut(rest, "}")
		if !ok || !closed {
			return s
		}
		s = before + os.Getenv(name) + after
	}
}

// parsedConfig is the files that the parser could read, the strongest first.
type parsedConfig []*ssh_config.Config

type namedSettings struct {
	files parsedConfig
	name  string
}

func (s namedSettings) get(keyword string) string {
	for _, file := range s.files {
		if value, err := file.Get(s.name, keyword); err == nil && value != "" {
			return value
		}
	}
	return ""
}

func (s namedSettings) all(keyword string) []string {
	var values []string
	for _, file := range s.files {
		if more, err := file.GetAll(s.name, keyword); err == nil {
			values = append(values, more...)
		}
	}
	return values
}

// askSSH lets ssh(1) read the configuration.
func (c *sshConfig) askSSH(ctx context.Context, name string) (settings, error) {
	args := []string{"-G"}
	if c.file != "" {
		args = append(args, "-F", c.file)
	}
	if c.opts.User != "" {
		args = append(args, "-l", c.opts.User)
	}
	if c.opts.Port != 0 {
		args = append(args, "-p", strconv.Itoa(c.opts.Port))
	}
	cmd := exec.CommandContext(ctx, "ssh", append(args, "--", name)...)
	cmd.WaitDelay = 100 * time.Millisecond // after its end, where what an exec of a Match has left keeps the pipe open
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("ssh -G %s: %w", name, ctx.Err())
	}
	if errors.Is(err, exec.ErrNotFound) {
		return nil, errors.New("the SSH configuration uses Match, which only the ssh program can read, and there is none")
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return nil, fmt.Errorf("ssh -G %s: %w: %s", name, err, shorten(stderr.String(), shortOutput))
	}
	return c.readDump(string(out)), nil
}

// readDump reads the output of ssh -G: one keyword in lower case and its value a
// line. It tells defaults from settings only where that can be told.
func (c *sshConfig) readDump(text string) settings {
	dump := make(dumpedSettings)
	for line := range strings.Lines(text) {
		keyword, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if keyword == "user" && value == userName() && c.opts.User == "" && !c.scan.users[value] {
			continue // the default of ssh, which is not ours
		}
		dump[keyword] = append(dump[keyword], value)
	}
	return dump
}

type dumpedSettings map[string][]string

func (d dumpedSettings) all(keyword string) []string { return d[strings.ToLower(keyword)] }

func (d dumpedSettings) get(keyword string) string {
	if values := d.all(keyword); len(values) > 0 {
		return values[0]
	}
	return ""
}
