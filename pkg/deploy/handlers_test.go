package deploy

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgctl/pgctl/pkg/nodes"
	"github.com/pgctl/pgctl/pkg/plan"
	"github.com/pgctl/pgctl/pkg/remote"
	"github.com/pgctl/pgctl/pkg/remote/remotetest"
)

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// running are the facts of a host as deploy leaves it.
func running() facts {
	monitor := `{"program":"pgctl","pid":212,"time":"2026-01-02T03:04:05.000000Z","binary_sha256":"abc","settings_sha256":"def"}`
	return facts{
		"conf": {b64(supervisorConf)}, "status": {"pg_watcher   RUNNING   pid 212, uptime 0:00:34"}, "pid": {"212"},
		"command": {"/usr/local/bin/pgctl watch "}, "monitor": {b64(monitor)}, "node": {b64(monitor)},
		"settings_sum": {"def"}, "now": {fmt.Sprintf("%d.5", jan.Unix())},
	}
}

func TestProgramMissing(t *testing.T) {
	report := func(old, new string) func(facts) {
		return func(f facts) {
			text, _ := f.file("monitor")
			f["monitor"] = []string{b64(strings.Replace(string(text), old, new, 1))}
		}
	}
	tests := []struct {
		name   string
		change func(facts)
		want   string // "" nothing is missing
	}{
		{"as it should be", func(facts) {}, ""},
		{"another configuration", func(f facts) { f["conf"] = []string{b64(supervisorConf + "x")} }, "is not as deploy writes it"},
		{"no configuration", func(f facts) { delete(f, "conf") }, "is not as deploy writes it"},
		{"stopped", func(f facts) { f["status"] = []string{"pg_watcher   STOPPED   Not started"} }, "supervisor says: pg_watcher   STOPPED"},
		{"no supervisor", func(f facts) { f["status"] = []string{"unix:///var/run/supervisor.sock no such file"} }, "no such file"},
		{"another program of that name", func(f facts) { f["command"] = []string{"/bin/sh /opt/old"} }, `supervisor runs "/bin/sh /opt/old"`},
		{"no report", func(f facts) { delete(f, "monitor") }, "has not reported"},
		{"the report of another watcher", report(`"pgctl"`, `"old"`), "has not reported"},
		{"the report of the process before", report("212", "211"), "since it was started"},
		{"the binary before", report("abc", "abd"), "another binary"},
		{"settings that have changed since", func(f facts) { f["settings_sum"] = []string{"new"} }, "older settings"},
		{"an old report", func(f facts) { f["now"] = []string{fmt.Sprint(jan.Unix() + 6)} }, "of the monitor for more than 5s"},
		{"an old report of the node", func(f facts) {
			text, _ := f.file("node")
			f["node"] = []string{b64(strings.Replace(string(text), "03:04:05", "03:03:05", 1))}
		}, "of the node for more than 5s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := running()
			tt.change(f)
			expect(t, programMissing(plan.Step{Args: map[string]string{"sha256": "abc"}}, f), tt.want)
		})
	}
}

func expect(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("got %v, expected %q", err, want)
	}
}

func TestProgramLeft(t *testing.T) {
	expect(t, programLeft(plan.Step{}, running()), "is still there")
	gone := facts{"status": {"pg_watcher: ERROR (no such process)"}}
	expect(t, programLeft(plan.Step{}, gone), "")
	back := facts{"conf": {b64(foreignConf)}, "status": {"pg_watcher RUNNING pid 7, uptime"}, "command": {"/opt/old"}, "monitor": {b64("status: active\n")}}
	expect(t, programLeft(plan.Step{}, back), "") // what was put back is not ours
	for _, left := range []facts{{"command": {"/usr/local/bin/pgctl watch"}}, {"node": running()["node"]}} {
		if programLeft(plan.Step{}, left) == nil {
			t.Errorf("%v: nothing is left", left)
		}
	}
}

func TestForeignLeft(t *testing.T) {
	own := running()
	own["definition"] = []string{b64(supervisorConf) + " " + confPath}
	expect(t, foreignLeft(plan.Step{}, own), "")
	expect(t, foreignLeft(plan.Step{}, facts{"definition": {b64(foreignConf) + " /etc/supervisor/conf.d/a b.conf"}}), "a b.conf has a pg_watcher that is not pgctl's")
	expect(t, foreignLeft(plan.Step{}, facts{"command": {"/bin/sh /opt/old"}}), `supervisor runs "/bin/sh /opt/old"`)
}

func TestFilesMissing(t *testing.T) {
	s := plan.Step{Args: map[string]string{"sha256": "abc"}}
	expect(t, binaryMissing(s, facts{"binary": {"abc"}, "mode": {"755:0 " + BinaryPath}}), "")
	expect(t, binaryMissing(s, facts{"binary": {"abc"}, "mode": {"644:0 " + BinaryPath}}), "644:0")
	expect(t, binaryMissing(s, facts{"binary": {"abd"}, "mode": {"755:0 " + BinaryPath}}), "abd")
	expect(t, binaryMissing(s, facts{}), "SHA-256")
	all := facts{"mode": {"755:0 /etc/pgctl", "700:0 " + tlsDir, "700:0 /var/lib/pgctl", "750:0 /var/log/pgctl"}}
	expect(t, foldersMissing(s, all), "")
	all["mode"][1] = "755:0 " + tlsDir
	expect(t, foldersMissing(s, all), tlsDir+` has mode and owner "755:0"`)
}

func TestFilesLeft(t *testing.T) {
	d := &Deployer{Here: "firstbox"}
	expect(t, d.filesLeft(plan.Step{Host: "db1"}, facts{}), "")
	expect(t, d.filesLeft(plan.Step{Host: "db1"}, facts{"ca": {""}}), "ca.crt")
	expect(t, d.filesLeft(plan.Step{Host: "db1"}, facts{"binary": {"abc"}}), BinaryPath)
	expect(t, d.filesLeft(plan.Step{Host: "firstbox"}, facts{"ca": {""}, "binary": {"abc"}, "mode": {"600:0 " + authorityKey}}), "")
	expect(t, d.filesLeft(plan.Step{Host: "firstbox"}, facts{"mode": {"600:0 " + hostKey}}), hostKey)
}

func TestAuthorityMissing(t *testing.T) {
	a := newAuthority(t, jan)
	d := newDeployer()
	tests := []struct {
		name        string
		f           facts
		now         time.Time
		reason, err string
	}{
		{name: "none", f: facts{}, reason: "no authority yet"},
		{name: "a key, and no certificate yet", f: facts{"mode": {"600:0 " + authorityKey}}, reason: "no authority yet"},
		{name: "made", f: facts{"ca": {b64(string(a.pem))}, "mode": {"600:0 " + authorityKey}}},
		{name: "a host that has the certificate alone", f: facts{"ca": {b64(string(a.pem))}}, err: "run deploy on the host that has it"},
		{name: "a key that others may read", f: facts{"ca": {b64(string(a.pem))}, "mode": {"644:0 " + authorityKey}}, err: "can pose as any host"},
		{name: "no certificate at all", f: facts{"ca": {b64("x")}, "mode": {"600:0 " + authorityKey}}, err: "no certificate in PEM"},
		{name: "near its end", f: facts{"ca": {b64(string(a.pem))}, "mode": {"600:0 " + authorityKey}}, now: jan.AddDate(10, 0, -30), err: "ends on 2036-01-02"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d.Now = func() time.Time {
				if tt.now.IsZero() {
					return jan
				}
				return tt.now
			}
			reason, err := d.authorityMissing(t.Context(), plan.Step{Host: "firstbox"}, tt.f)
			expect(t, reason, tt.reason)
			expect(t, err, tt.err)
		})
	}
}

func TestSettingsMissing(t *testing.T) {
	d := newDeployer()
	d.Settings = &nodes.File{Path: settingsPath, Data: []byte("postgres:\n  port: 5433\n")}
	for text, want := range map[string]string{"postgres:\n  port: 5433\n": "", "postgres:\n  port: 5433\nwatch:\n  listen: :1\n": "", "postgres:\n  port: 5432\n": "are others"} {
		reason, err := d.settingsMissing(t.Context(), plan.Step{Host: "db1"}, facts{"settings": {b64(text)}})
		expect(t, reason, want)
		expect(t, err, "")
	}
	_, err := d.settingsMissing(t.Context(), plan.Step{Host: "db1"}, facts{"settings": {b64("x: 1\n")}})
	expect(t, err, "db1:"+settingsPath+":1: has the unknown section")
}

// TestCertifyOrder: a certificate is never beside a key that is not its own, wherever the step is cut off, and no key is in an
// argument.
func TestCertifyOrder(t *testing.T) {
	_, keyPEM, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := readKey(keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	caPEM, err := selfSigned(key, jan)
	if err != nil {
		t.Fatal(err)
	}
	here := remotetest.NewFake(t, "firstbox").Expect(
		remotetest.Step{Contains: authorityCert, Stdout: string(caPEM)}, remotetest.Step{Contains: authorityKey, Stdout: string(keyPEM)})
	host := remotetest.NewFake(t, "db1").Expect(
		remotetest.Step{Contains: `rm -f "$1"; rm -f "$2" sh ` + hostCert + " " + hostKey}, remotetest.Step{Contains: authorityCert},
		remotetest.Step{Contains: hostKey}, remotetest.Step{Contains: hostCert})
	d := newDeployer()
	d.Timeout = time.Second
	d.Hosts = func(name string) remote.Host { return map[string]remote.Host{"firstbox": here, "db1": host}[name] }
	if err := d.certify(t.Context(), plan.Step{Host: "db1", Args: map[string]string{"role": "server"}}, host); err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(append(host.Ran(), here.Ran()...), func(c string) bool { return strings.Contains(c, "BEGIN") }) {
		t.Error("a key or certificate is in an argument")
	}
}

func TestLook(t *testing.T) {
	host := remotetest.NewFake(t, "db1").Expect(
		remotetest.Step{Contains: "sh machine binary", Stdout: "machine x86_64\nmode 755:0 /usr/local/bin/pgctl\nsettings \nend\n"},
		remotetest.Step{Contains: "sh tls", Stdout: "ca YQ==\n"})
	f, err := look(t.Context(), host, "machine", "binary")
	if err != nil || f.one("machine") != "x86_64" || f.mode(BinaryPath) != "755:0" || f.mode(hostKey) != "" {
		t.Errorf("%v, %v", f, err)
	}
	if data, ok := f.file("settings"); !ok || len(data) != 0 {
		t.Errorf("an empty file: %q, %t", data, ok)
	}
	if _, err := look(t.Context(), host, "tls"); err == nil || !strings.Contains(err.Error(), "db1: its answer has no end") {
		t.Errorf("half an answer: %v", err)
	}
}

// TestTransferStalls: a line on which nothing moves is given up.
func TestTransferStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeployer()
		d.Now = time.Now
		host := remotetest.NewFake(t, "db1")
		host.RunFunc = func(ctx context.Context, _ remote.Command) (remote.Result, error) {
			<-ctx.Done()
			return remote.Result{}, ctx.Err()
		}
		began := time.Now()
		if err := d.transfer(t.Context(), host); err == nil || !strings.Contains(err.Error(), "nothing of it has moved for 1m0s") || time.Since(began) != stall {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// TestTransferTells: a line that is slow takes its time, and is told of.
func TestTransferTells(t *testing.T) {
	now := jan
	var told []string
	d := newDeployer()
	d.SetBinary(bytes.Repeat([]byte("x"), 1e6))
	d.Now = func() time.Time { now = now.Add(2 * time.Second); return now }
	d.Note = func(host, message string) { told = append(told, host+": "+message) }
	host := remotetest.NewFake(t, "db1")
	host.RunFunc = func(_ context.Context, cmd remote.Command) (remote.Result, error) {
		got, err := io.ReadAll(io.LimitReader(cmd.Stdin, 2e6))
		if err != nil || len(got) != 1e6 || !slices.Contains(cmd.Args, "1000000") {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		return remote.Result{}, nil
	}
	if err := d.transfer(t.Context(), host); err != nil {
		t.Fatal(err)
	}
	if len(told) == 0 || !strings.HasPrefix(told[0], "db1: 0.0 of 1.0 MB sent in 6s") {
		t.Errorf("%q", told)
	}
}

func TestDoneTellsWhyNot(t *testing.T) {
	host := remotetest.NewFake(t, "db1").Expect(remotetest.Step{Contains: "sh kept", Stdout: "kept yes\nend\n"}, remotetest.Step{Contains: "sh kept", Stdout: "end\n"})
	d := newDeployer()
	d.Timeout = time.Second
	d.Hosts = func(string) remote.Host { return host }
	h := d.Handlers()[verbRestore]
	var not *plan.NotYet
	if done, err := h.Done(t.Context(), plan.Step{Host: "db1"}); done || !errors.As(err, &not) || !strings.Contains(err.Error(), keptDir) {
		t.Errorf("%t, %v", done, err)
	}
	if done, err := h.Done(t.Context(), plan.Step{Host: "db1"}); !done || err != nil {
		t.Errorf("%t, %v", done, err)
	}
}
