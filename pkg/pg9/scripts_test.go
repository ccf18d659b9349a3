package pg9_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgctl/pgctl/pkg/pg9"
)

const bash = "#!/bin/bash\n"

func TestFixed(t *testing.T) {
	loop := func(inner string) string {
		return bash + "for pgpool_server in $pools; do\n" + inner + "done\n"
	}
	const restart = "\tssh root@${pgpool_server} \"service pgpool2 restart\"\n"
	const fixed = "\tssh root@${pgpool_server} \"pgpool -m fast stop\"\n\tssh root@${pgpool_server} \"rm -f /var/lib/pgpool/.s.PGSQL.*\"\n\tssh root@${pgpool_server} \"service pgpool2 start\"\n"
	tests := []struct{ name, path, before, after, says string }{
		{"the call goes", pg9.ConfigureMaster, bash + ". utils.sh\nconfigure\n\ninstall_failover_cron $1 $2\nexit 0\n", bash + ". utils.sh\nconfigure\n\nexit 0\n", ""},
		{"indented, and a comment", pg9.ConfigureSlave, bash + "if true; then\n  # install_failover_cron too\n  install_failover_cron \"$2\" \"$1\"\n  b\nfi\n", bash + "if true; then\n  b\nfi\n", ""},
		{"no call: done", pg9.ConfigureMaster, bash + "configure\n", bash + "configure\n", ""},
		{"a call that something hangs on", pg9.ConfigureMaster, bash + "install_failover_cron $1 $2 || exit 1\n", "", `configure_master.sh:2: expected a line that only calls install_failover_cron, found "install_failover_cron $1 $2 || exit 1"`},
		{"a call in a condition", pg9.ConfigureMaster, bash + "a\nif install_failover_cron $1 $2; then b; fi\n", "", "configure_master.sh:3: "},
		{"a call that goes on", pg9.ConfigureMaster, bash + "install_failover_cron $1 \\\n  $2\n", "", ":2: expected a line that only calls"},
		{"the end of another command", pg9.ConfigureMaster, bash + "sudo \\\ninstall_failover_cron $1 $2\n", "", ":3: expected a line that only calls"},
		{"all that a branch has", pg9.ConfigureMaster, bash + "if a; then\ninstall_failover_cron $1 $2\nfi\n", "", "would leave no valid script"},
		{"no script", pg9.ConfigureMaster, "\x7fELF", "", "expected a shell script"},
		{"broken already", pg9.ConfigureMaster, bash + "if\n", "", "no valid shell script"},
		{"pgpool", pg9.PostFailover, loop(restart), loop(fixed), ""},
		{"pgpool, done", pg9.PostFailover, loop(fixed), loop(fixed), ""},
		{
			"pgpool, with options of ssh and a comment", pg9.PostFailover, loop("  ssh -q -o BatchMode=yes root@\"$pgpool_server\" 'service pgpool2 restart' # the pool\n"),
			loop("  ssh -q -o BatchMode=yes root@\"$pgpool_server\" 'pgpool -m fast stop'\n  ssh -q -o BatchMode=yes root@\"$pgpool_server\" 'rm -f /var/lib/pgpool/.s.PGSQL.*'\n  ssh -q -o BatchMode=yes root@\"$pgpool_server\" 'service pgpool2 start' # the pool\n"), "",
		},
		{"twice", pg9.PostFailover, loop(restart + "sleep 1\n" + restart), loop(fixed + "sleep 1\n" + fixed), ""},
		{"killed between the lines of the old script", pg9.PostFailover, loop(strings.Replace(fixed, "pgpool2 start", "pgpool2 restart", 1)), loop(fixed), ""},
		{"another host", pg9.PostFailover, loop("ssh root@pool1 \"service pgpool2 restart\"\n"), "", `post_failover.sh:3: expected ssh root@${pgpool_server} "service pgpool2 restart", found "ssh root@pool1`},
		{"in the background", pg9.PostFailover, loop("ssh root@${pgpool_server} \"service pgpool2 restart\" &\n"), "", ":3: expected ssh"},
		{"started only", pg9.PostFailover, loop("ssh root@${pgpool_server} \"service pgpool2 start\"\n"), "", "not stopped and cleared before"},
		{"nothing of pgpool", pg9.PostFailover, bash + "true\n", "", "found none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := pg9.Fixed(tt.path, []byte(tt.before))
			if tt.says != "" {
				if err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("got %q, %v; expected the error %s", got, err, tt.says)
				}
				return
			}
			if err != nil || string(got) != tt.after {
				t.Errorf("got, %v:\n%s\nexpected:\n%s", err, got, tt.after)
			}
			if !pg9.IsFixed(tt.path, got) {
				t.Errorf("fixed is not taken for fixed:\n%s", got)
			}
		})
	}
}

// TestFixedIsWhatTheOldScriptMakes: the guide's fixup, done by sed(1) as that does it, is taken for done; and pgctl's own does the same but
// for the indent and rm's -f.
func TestFixedIsWhatTheOldScriptMakes(t *testing.T) {
	dir := t.TempDir()
	configure, post := filepath.Join(dir, "configure.sh"), filepath.Join(dir, "post.sh")
	before := map[string]string{
		configure: bash + "a\n\tinstall_failover_cron $1 $2\n# install_failover_cron\nb\n",
		post:      bash + "for pgpool_server in a b; do\n\tssh root@${pgpool_server} \"service pgpool2 restart\"\ndone\n",
	}
	for path, text := range before {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sed := `sed -i '/install_failover_cron/d' "$1"
sed -i '/service pgpool2 restart/i\ssh root@${pgpool_server} "pgpool -m fast stop"' "$2"
sed -i '/service pgpool2 restart/i\ssh root@${pgpool_server} "rm /var/lib/pgpool/.s.PGSQL.*"' "$2"
sed -i 's/service pgpool2 restart/service pgpool2 start/g' "$2"`
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", sed, "sh", configure, post).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for path, name := range map[string]string{configure: pg9.ConfigureMaster, post: pg9.PostFailover} {
		old, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := pg9.Fixed(name, []byte(before[path]))
		plain := bytes.ReplaceAll(bytes.ReplaceAll(ours, []byte("\tssh"), []byte("ssh")), []byte("rm -f "), []byte("rm "))
		if err != nil || !bytes.Equal(bytes.ReplaceAll(old, []byte("\tssh"), []byte("ssh")), plain) {
			t.Errorf("%s: %v\nsed made:\n%s\npgctl:\n%s", name, err, old, ours)
		}
		if !pg9.IsFixed(name, old) {
			t.Errorf("%s: what sed made is not taken for done:\n%s", name, old)
		}
		if name == pg9.PostFailover && (!pg9.ByOldScript(old) || pg9.ByOldScript(ours)) {
			t.Errorf("who did it is not told apart:\n%s\n%s", old, ours)
		}
	}
}

// FuzzFixed: no script is edited into one that is fixed again into something else.
func FuzzFixed(f *testing.F) {
	f.Add("a\ninstall_failover_cron $1 $2\n", true)
	f.Add("ssh root@${pgpool_server} \"service pgpool2 restart\"\n", false)
	f.Fuzz(func(t *testing.T, text string, configure bool) {
		path := pg9.PostFailover
		if configure {
			path = pg9.ConfigureMaster
		}
		once, err := pg9.Fixed(path, []byte(bash+text))
		if err != nil {
			return
		}
		if twice, err := pg9.Fixed(path, once); err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%q gave %q, then %q, %v", text, once, twice, err)
		}
	})
}
