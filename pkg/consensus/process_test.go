package consensus

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// childVariable makes the test binary a host: it holds where its orders are.
const childVariable = "CONSENSUS_HOST"

func TestMain(m *testing.M) {
	if path := os.Getenv(childVariable); path != "" {
		beHost(path)
		return
	}
	os.Exit(m.Run())
}

// orders are what a host's process is started with.
type orders struct {
	Name, Dir string
	Files     Files
	Hosts     []Host
}

// beHost runs one replica until its input ends. It prints each edge of the lead and each answer as a line.
func beHost(path string) {
	var o orders
	if err := json.Unmarshal(must(os.ReadFile(path)), &o); err != nil {
		panic(err)
	}
	address := ""
	for _, h := range o.Hosts {
		if h.Name == o.Name {
			address = h.Address
		}
	}
	port := must(Listen(PortOptions{Host: o.Name, Listen: address, Files: o.Files, Log: discard(), Now: time.Now}))
	n := must(Open(Options{Host: o.Name, Dir: o.Dir, Port: port, Hosts: o.Hosts, Machine: &journal{}, Multiplier: pace, Log: discard(), Now: time.Now}))
	go func() {
		for edge := range n.Leadership() {
			fmt.Println("edge", edge)
		}
	}()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch verb, rest, _ := strings.Cut(in.Text(), " "); verb {
		case "propose":
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			_, index, err := n.Propose(ctx, []byte(rest))
			cancel()
			fmt.Println("answer", index, err)
		case "show":
			if err := n.Err(); err != nil {
				fmt.Println("answer", err)
				continue
			}
			n.View(func() { fmt.Println("answer", strings.Join(n.replica.machine.(*journal).all(), " ")) })
		}
	}
	_ = n.Close()
}

// process is a host in a process of its own.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	in    io.Writer
	lines chan string
	leads bool // by the edges that were told
	edges int
}

func (s *site) spawn(t *testing.T, name string) *process {
	t.Helper()
	path := filepath.Join(s.dir, name+".json")
	if err := os.WriteFile(path, must(json.Marshal(orders{Name: name, Dir: s.data(name), Files: s.files(name), Hosts: s.hosts})), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+path)
	cmd.Stderr = os.Stderr
	p := &process{t: t, name: name, cmd: cmd, in: must(cmd.StdinPipe()), lines: make(chan string, 1000)}
	out := must(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.lines)
		for in := bufio.NewScanner(out); in.Scan(); {
			p.lines <- in.Text()
		}
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func (p *process) signal(s os.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// ask sends an order and gives the answer, following the edges on the way.
func (p *process) ask(order string) string {
	fmt.Fprintln(p.in, order)
	return p.answer()
}

func (p *process) answer() string {
	for {
		select {
		case line, open := <-p.lines:
			if !open {
				return "gone"
			}
			if text, ok := strings.CutPrefix(line, "answer "); ok {
				return text
			}
			p.edge(line)
		case <-time.After(patience):
			p.t.Fatalf("%s does not answer", p.name)
		}
	}
}

func (p *process) edge(line string) {
	if now := line == "edge true"; now == p.leads {
		p.t.Errorf("%s: %q follows %v", p.name, line, p.leads)
	} else {
		p.leads, p.edges = now, p.edges+1
	}
}

// leading waits for one of these that says it leads and commits.
func leading(t *testing.T, all []*process, command string) *process {
	t.Helper()
	var found *process
	wait(t, "commit of "+command, func() bool {
		for _, p := range all {
			if answer := p.ask("propose " + command); strings.HasSuffix(answer, "<nil>") {
				found = p
				return true
			}
		}
		return false
	})
	return found
}

// TestStoppedProcess: the leader's process is stopped, another leads and commits; continued, the old one believes in its lead for a
// moment, but nothing that it says then is committed by it alone, and it follows.
func TestStoppedProcess(t *testing.T) {
	s := newSite(t, three)
	var all []*process
	for _, h := range s.hosts {
		all = append(all, s.spawn(t, h.Name))
	}
	old := leading(t, all, "one")
	old.signal(syscall.SIGSTOP)
	stopped := time.Now()
	var others []*process
	for _, p := range all {
		if p != old {
			others = append(others, p)
		}
	}
	next := leading(t, others, "two")
	t.Logf("another leader commits after %s (heartbeat %s)", time.Since(stopped).Round(time.Millisecond), times(pace).of(heartbeat))
	fmt.Fprintln(old.in, "propose stale") // it lies in the pipe, and is the first that the old leader sees
	old.signal(syscall.SIGCONT)
	if answer := old.answer(); strings.HasSuffix(answer, "<nil>") {
		t.Errorf("the old leader, just continued, commits: %s", answer)
	}
	if got := leading(t, others, "three"); got != next {
		t.Logf("the lead went from %s to %s", next.name, got.name)
	}
	showing := map[string]string{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("they have %q", showing)
		}
	})
	wait(t, "agreement", func() bool {
		agree := true
		for _, p := range all {
			showing[p.name] = p.ask("show")
			// on a busy machine the outcome of one may be unknown, and it is proposed again
			agree = agree && slices.Equal(slices.Compact(strings.Fields(showing[p.name])), []string{"one", "two", "three"})
		}
		return agree
	})
	if old.leads || old.edges < 2 {
		t.Errorf("the old leader's stream: leads %v after %d edges", old.leads, old.edges)
	}
	// the same to a follower: it misses some, and has them all when it is continued
	follower := others[0]
	if follower == next {
		follower = others[1]
	}
	follower.signal(syscall.SIGSTOP)
	for i := range 50 {
		leading(t, []*process{old, next}, fmt.Sprint("more", i))
	}
	follower.signal(syscall.SIGCONT)
	wait(t, "what it missed", func() bool { return strings.HasSuffix(follower.ask("show"), "more49") })
}

// TestKilledProcesses: all hosts lose power at once, in the middle of proposals; what was acknowledged is there afterwards.
func TestKilledProcesses(t *testing.T) {
	s := newSite(t, three)
	acknowledged, last := []string{}, ""
	for round := range 3 {
		var all []*process
		for _, h := range s.hosts {
			all = append(all, s.spawn(t, h.Name))
		}
		leader := leading(t, all, fmt.Sprint("begin", round))
		if got := leader.ask("show"); !subsequence(acknowledged, strings.Fields(got)) {
			t.Fatalf("round %d: %q does not have all of %v", round, got, acknowledged)
		}
		for i := range 40 {
			last = fmt.Sprint("r", round, "c", i)
			if strings.HasSuffix(leader.ask("propose "+last), "<nil>") {
				acknowledged = append(acknowledged, last)
			}
		}
		fmt.Fprintln(leader.in, "propose", "cut", round)
		for _, p := range all {
			p.kill()
		}
	}
	if len(acknowledged) < 60 {
		t.Errorf("only %d commands were acknowledged", len(acknowledged))
	}
}

func subsequence(want, all []string) bool {
	for _, c := range all {
		if len(want) > 0 && want[0] == c {
			want = want[1:]
		}
	}
	return len(want) == 0
}
