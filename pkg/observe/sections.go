package observe

import "strings"

// mark separates the sections of a script's output: a control character (record separator) that no text file of a site
// has in it.
const mark = "\x1e"

// sectionScript defines section NAME, which starts a section of the output.
const sectionScript = `section() { printf '\036%s\n' "$1"; }
`

// sections cuts a script's output by section name. What a section holds is passed on byte for byte.
func sections(output string) map[string]string {
	found := map[string]string{}
	for _, part := range strings.Split(output, mark)[1:] {
		name, content, _ := strings.Cut(part, "\n")
		found[name] = content
	}
	return found
}
