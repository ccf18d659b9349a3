package nodes

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseNodeList(t *testing.T) {
	for _, tc := range acceptedLists() {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseNodeList(File{"pgserver", []byte(tc.src)})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got  %v\nwant %v", got, tc.want)
			}
		})
	}
}

type acceptedList struct {
	name, src string
	want      []Name
	notBash   bool // bash does not read it, or reads it with a complaint
}

func acceptedLists() []acceptedList {
	ab := []Name{{"a", 1}, {"b", 1}}
	return []acceptedList{
		{name: "double quotes", src: "nodes=\"a b\"\n", want: ab},
		{name: "single quotes", src: "nodes='a b'", want: ab},
		{name: "no quotes", src: "nodes=db1.example.com\n", want: []Name{{"db1.example.com", 1}}},
		{name: "more blanks", src: "  nodes=\"  a \t b  \"  \n", want: ab},
		{name: "comments", src: "# one\nnodes=\"a b\" # two\n#three", want: []Name{{"a", 2}, {"b", 2}}},
		{name: "comment in Chinese", src: "# 数据库节点\nnodes=\"a\"\n", want: []Name{{"a", 2}}},
		{name: "comment in GBK", src: "# \xca\xfd\xbe\xdd\\\nnodes=\"a\"\n", want: []Name{{"a", 2}}},
		{name: "lines in quotes", src: "nodes=\"a\n\n  b c\nd\"\n", want: []Name{{"a", 1}, {"b", 3}, {"c", 3}, {"d", 4}}},
		{name: "quotes alone on their lines", src: "nodes=\"\na\nb\n\"\n", want: []Name{{"a", 2}, {"b", 3}}},
		{name: "continuation in quotes", src: "nodes=\"a \\\nb \\\nc\"\n", want: []Name{{"a", 1}, {"b", 2}, {"c", 3}}},
		{name: "continuation without quotes", src: "nodes=\\\na\n", want: []Name{{"a", 2}}},
		{name: "continuation within a name", src: "nodes=\"db\\\n1 b\"\n", want: []Name{{"db1", 1}, {"b", 2}}},
		{name: "continuations without quotes", src: "x=a\nnodes=\\\n\\\n$x\\ \\\nb\n", want: []Name{{"a", 1}, {"b", 5}}},
		{name: "continuation in an array", src: "nodes=(a \\\n b)\n", want: []Name{{"a", 1}, {"b", 2}}},
		{name: "last assignment counts", src: "nodes=\"a b\"\nnodes=\"c\"\n", want: []Name{{"c", 2}}},
		{name: "append string", src: "nodes=a\nnodes+=\" b\"\n", want: []Name{{"a", 1}, {"b", 2}}},
		{name: "append makes one word", src: "nodes=\"a b\"\nnodes+=c\n", want: []Name{{"a", 1}, {"bc", 1}}},
		{name: "append to nothing", src: "nodes+=\"a b\"\n", want: ab},
		{name: "array", src: "nodes=(a b)", want: ab},
		{name: "array over lines", src: "nodes=(\n  a # first\n  'b'\n  \"c d\"\n)\n", want: []Name{{"a", 2}, {"b", 3}, {"c", 4}, {"d", 4}}},
		{name: "array append", src: "nodes=(a)\nnodes+=(b c)\n", want: []Name{{"a", 1}, {"b", 2}, {"c", 2}}},
		{name: "array append to string", src: "nodes=a\nnodes+=(b)\n", want: []Name{{"a", 1}, {"b", 2}}},
		{name: "string append to array", src: "nodes=(a b)\nnodes+=x\n", want: []Name{{"ax", 1}, {"b", 1}}},
		{name: "string over array", src: "nodes=(a b)\nnodes=x\n", want: []Name{{"x", 2}, {"b", 1}}},
		{name: "array over string", src: "nodes=x\nnodes=(a b)\n", want: []Name{{"a", 2}, {"b", 2}}},
		{name: "export", src: "export nodes=\"a b\"\n", want: ab},
		{name: "export later", src: "nodes=\"a b\"; export nodes\n", want: ab},
		{name: "readonly", src: "readonly nodes=\"a b\"\n", want: ab},
		{name: "declare", src: "declare -ax nodes=(a b)\n", want: ab},
		{name: "typeset", src: "typeset -r nodes='a b'\n", want: ab},
		{name: "other variables", src: "desc=\"the 'big' ones: \\$5\"\nnodes=a\nowner=ops\n", want: []Name{{"a", 2}}},
		{name: "variable", src: "m=a\ns=\"b c\"\nnodes=\"$m ${s}\"\n", want: []Name{{"a", 1}, {"b", 2}, {"c", 2}}},
		{name: "default", src: "x=\nnodes=\"${x:-a} ${y:-b c} ${x-d}\"\n", want: []Name{{"a", 2}, {"b", 2}, {"c", 2}}},
		{name: "default within default", src: "nodes=\"${x:-${y:-\"a b\"}}\"\n", want: ab},
		{name: "its own value", src: "nodes=a\nnodes=\"$nodes b\"\n", want: []Name{{"a", 1}, {"b", 2}}},
		{name: "array elements", src: "x=(a b)\nnodes=\"${x[@]} c\"\n", want: []Name{{"a", 1}, {"b", 1}, {"c", 2}}},
		{name: "array of arrays", src: "x=(a b)\ny=(${x[@]} \"${x[*]}\")\nnodes=\"$y c\"\n", want: []Name{{"a", 1}, {"c", 3}}},
		{name: "quoted array of arrays", src: "x=(a b)\nnodes=(\"${x[@]}\" c)\n", want: []Name{{"a", 1}, {"b", 1}, {"c", 2}}},
		{name: "array splits a variable", src: "x='a b'\ny=($x c)\nnodes=$y\n", want: []Name{{"a", 1}}},
		{name: "quoted pieces", src: "nodes=a'b'\"c\"\n", want: []Name{{"abc", 1}}},
		{name: "escaped blank", src: "nodes=a\\ b\n", want: ab},
		{name: "host of many labels", src: "nodes='10.0.0.1 x--y'", want: []Name{{"10.0.0.1", 1}, {"x--y", 1}}},
		{name: "CRLF", src: "# x\r\nnodes=\"a \\\r\nb\"\r\n", want: []Name{{"a", 2}, {"b", 3}}, notBash: true},
		{name: "CRLF in quotes", src: "nodes=\"a\r\nb\"\r\n", want: []Name{{"a", 1}, {"b", 2}}, notBash: true},
		{name: "byte order mark", src: byteOrderMark + "nodes=\"a b\"\n", want: ab, notBash: true},
		{name: "plain list", src: "a\nb\n", want: []Name{{"a", 1}, {"b", 2}}, notBash: true},
		{name: "plain list on a line", src: "# hosts\na b # both\nc\n", want: []Name{{"a", 2}, {"b", 2}, {"c", 3}}, notBash: true},
		{name: "plain list, CRLF and mark", src: byteOrderMark + "a\r\nb\r\n", want: []Name{{"a", 1}, {"b", 2}}, notBash: true},
		{name: "no line end", src: "a", want: []Name{{"a", 1}}, notBash: true},
	}
}

// TestParseNodeListReadsLikeBash asks the real thing, where there is one.
func TestParseNodeListReadsLikeBash(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	for _, tc := range acceptedLists() {
		if tc.notBash {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pgserver")
			if err := os.WriteFile(path, []byte(tc.src), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(bash, "--norc", "-c", `set -f; . "$0"; for n in ${nodes[@]}; do echo "$n"; done`, path)
			cmd.Env = []string{}
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Fields(string(out)); !slices.Equal(got, hosts(tc.want)) {
				t.Errorf("bash reads %q, the table says %q", got, hosts(tc.want))
			}
		})
	}
}

func TestParseNodeListRefuses(t *testing.T) {
	const never = ` a node file is read and never executed, expected plain assignments such as nodes="HOST HOST"; write the host names out`
	const onlyHost = `, expected only letters, digits, dots and dashes; correct the name`
	for _, tc := range []struct{ name, src, want string }{
		{"empty file", "", `f: is empty, expected nodes="HOST HOST"; write the hosts of this role, or remove the file`},
		{"only comments", "# a\n", `f: is empty, expected nodes="HOST HOST"; write the hosts of this role, or remove the file`},
		{"empty list", "\nnodes=\"\"\n", `f:2: sets nodes to an empty list, expected nodes="HOST HOST"; write the hosts of this role, or remove the file`},
		{"empty array", "nodes=()", `f:1: sets nodes to an empty list, expected nodes="HOST HOST"; write the hosts of this role, or remove the file`},
		{"blank list", "nodes=a\nnodes=\" \t\n \"\n", `f:2: sets nodes to an empty list, expected nodes="HOST HOST"; write the hosts of this role, or remove the file`},
		{"empty plain list", "\n\"\" ''\n", `f:2: holds no host in its plain list, expected host names; write the hosts of this role, or remove the file`},
		{"no nodes", "x=a\nnode=\"a\"\n", `f:1: sets no variable nodes (it sets node), expected nodes="HOST HOST"; add it`},
		{"mixture", "a\nb\nnodes=c\n", `f:1: holds the word "a" beside an assignment (line 3), expected either a plain list of hosts or nodes="HOST HOST"; keep one of the two`},
		{"command substitution", "nodes=\"$(ls)\"", `f:1: holds a command substitution;` + never},
		{"backquotes", "x=1\nnodes=`ls`", `f:2: holds a command substitution;` + never},
		{"in another variable", "x=$(ls)\nnodes=a", `f:1: holds a command substitution;` + never},
		{"in a default", "nodes=\"${x:-$(ls)}\"", `f:1: holds a command substitution;` + never},
		{"process substitution", "nodes=<(ls)", `f:1: holds a process substitution;` + never},
		{"arithmetic", "nodes=db$((x++))", `f:1: holds an arithmetic expansion;` + never},
		{"arithmetic command", "((x++))", `f:1: holds arithmetic;` + never},
		{"let", "let x=1", `f:1: holds arithmetic;` + never},
		{"glob", "nodes=db*", `f:1: holds the file name pattern "db*";` + never},
		{"extended glob", "nodes=@(a|b)", `f:1: holds a file name pattern;` + never},
		{"source", "source /etc/x\nnodes=a", `f:1: holds the command "source";` + never},
		{"dot", ". /etc/x", `f:1: holds the command ".";` + never},
		{"if", "if true; then nodes=a; fi", `f:1: holds the command "if";` + never},
		{"for", "for x in a; do nodes=$x; done", `f:1: holds a loop "for" or "select";` + never},
		{"while", "while :; do :; done", `f:1: holds a loop "while" or "until";` + never},
		{"case", "case a in a) nodes=a;; esac", `f:1: holds the command "case";` + never},
		{"function", "f() { nodes=a; }", `f:1: holds a function;` + never},
		{"block", "{ nodes=a; }", `f:1: holds a block "{ }";` + never},
		{"subshell", "(nodes=a)", `f:1: holds a subshell "( )";` + never},
		{"test", "[[ a ]]", `f:1: holds a test "[[ ]]";` + never},
		{"redirection", "nodes=a >/tmp/x", `f:1: holds a redirection ">";` + never},
		{"here document", "a <<X\nb\nX\n", `f:1: holds a redirection "<<";` + never},
		{"pipe", "nodes=a\n\na | b", `f:3: holds a pipe or a list of commands "|";` + never},
		{"and", "nodes=a && b", `f:1: holds a pipe or a list of commands "&&";` + never},
		{"background", "nodes=a &", `f:1: holds a background command "&";` + never},
		{"negation", "! nodes=a", `f:1: holds the negation "!";` + never},
		{"IFS", "IFS=,\nnodes=a,b", `f:1: holds an assignment to IFS, which changes how a list is split;` + never},
		{"local", "local nodes=a", `f:1: holds the command "local";` + never},
		{"declare integer", "declare -i nodes=1", `f:1: holds the command "declare" with something else than a plain assignment;` + never},
		{"associative", "declare -A nodes=([x]=a)", `f:1: holds the command "declare" with something else than a plain assignment;` + never},
		{"element", "nodes[0]=a", `f:1: holds an assignment to one element of nodes;` + never},
		{"element with index", "nodes=([3]=a)", `f:1: holds an array element with an index;` + never},
		{"escapes", "nodes=$'a'", `f:1: holds the quoted text "a" with escapes or inside other quotes;` + never},
		{"assigning default", "nodes=${x:=a}", `f:1: holds an expansion of "x" other than ${x}, ${x:-HOST} and ${x[@]};` + never},
		{"indirection", "x=y\nnodes=${!x}", `f:2: holds an expansion of "x" other than ${x}, ${x:-HOST} and ${x[@]};` + never},
		{"substitution", "x=y\nnodes=${x/y/z}", `f:2: holds an expansion of "x" other than ${x}, ${x:-HOST} and ${x[@]};` + never},
		{"index arithmetic", "x=y\nnodes=${x[i++]}", `f:2: holds an expansion of "x" other than ${x}, ${x:-HOST} and ${x[@]};` + never},
		{"parameter", "nodes=$1", `f:1: holds an expansion of "1" other than ${x}, ${x:-HOST} and ${x[@]};` + never},
		{"environment", "nodes=\"$HOSTNAME\"", `f:1: uses the variable HOSTNAME, which the file has not set before, expected only variables of this file; write its value out`},
		{"read-only", "readonly nodes=a\nnodes=b", `f:2: assigns to the read-only variable nodes, which bash refuses; expected one assignment; remove this one or the word readonly`},
		{"forgotten quotes", "nodes=a b", `f:1: has a second word after the value of nodes, which makes it a command, expected one quoted value such as nodes="HOST HOST"; put the list in quotes`},
		{"blank before =", "nodes = \"a\"", `f:1: has a blank between "nodes" and the sign =, expected nodes="HOST HOST"; remove the blank`},
		{"unclosed quote", "x=1\nnodes=\"a\nb", "f:2: is no valid shell: reached EOF without closing quote `\"`; expected nodes=\"HOST HOST\"; correct this line"},
		{"NUL", "nodes=a\n\x00", `f:2: holds a NUL byte, expected text in UTF-8; write the file again as nodes="HOST HOST"`},
		{"shell in a name", "nodes='a;reboot'", `f:1: "a;reboot" is no host name: it holds ';'` + onlyHost},
		{"option as a name", "nodes=\"a\n -oProxyCommand=x\"", `f:2: "-oProxyCommand=x" is no host name: it begins with "-", expected a letter or a digit; correct the name`},
		{"underscore", "a\ndb_1\n", `f:2: "db_1" is no host name: it holds '_'` + onlyHost},
		{"comma list", "nodes=a,b", `f:1: "a,b" is no host name: it holds ','` + onlyHost},
		{"braces", "nodes=a{1,2}", `f:1: "a{1,2}" is no host name: it holds '{'` + onlyHost},
		{"Chinese quotes", "nodes=“a”", `f:1: "“a”" is no host name: it holds '“'` + onlyHost},
		{"lone CR", "nodes='a\rb'", `f:1: "a\rb" is no host name: it holds '\r'` + onlyHost},
		{"duplicate", "nodes=\"a b\nA\"", `f:2: lists the host "A" twice, first on line 1, expected every host once; remove one of the two`},
		{"all at once", "nodes=\"a_ b\nc_\nb\"", `f:1: "a_" is no host name: it holds '_'` + onlyHost + "\n" +
			`f:2: "c_" is no host name: it holds '_'` + onlyHost + "\n" +
			`f:3: lists the host "b" twice, first on line 1, expected every host once; remove one of the two`},
		{"two constructs", "x=$(ls)\ny=`ls`\nnodes=\"$x $y\"", "f:1: holds a command substitution;" + never + "\nf:2: holds a command substitution;" + never},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseNodeList(File{"f", []byte(tc.src)})
			if err == nil {
				t.Fatalf("accepted: %v", got)
			}
			if err.Error() != tc.want {
				t.Errorf("got  %s\nwant %s", err, tc.want)
			}
		})
	}
}

func TestParseNodeListStopsGrowth(t *testing.T) {
	src := "x=\"aaaaaaaaaaaaaaaa \"\n" + strings.Repeat("x=\"$x$x\"\n", 60) + "nodes=$x\n"
	_, err := ParseNodeList(File{"f", []byte(src)})
	if err == nil || !strings.Contains(err.Error(), "f:12: makes x longer than 32768 bytes, expected a list of hosts; write the host names out") {
		t.Fatalf("got %v", err)
	}
}

func TestParseNodeListSurvivesNesting(t *testing.T) {
	for _, open := range []string{"$(", "${x:-", "$((", "[[ ( ", "{ "} {
		src := strings.Repeat(open, maxListBytes/len(open))
		if names, err := ParseNodeList(File{"f", []byte(src)}); err == nil {
			t.Errorf("%s: accepted: %d hosts", open, len(names))
		}
	}
	_, err := ParseNodeList(File{"f", make([]byte, maxListBytes+1)})
	const want = "f: has 32769 bytes, expected a list of hosts of at most 32768; check whether it is a node file"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
