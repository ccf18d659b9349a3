package nodes

import (
	"fmt"
	"slices"
)

// EditNodeList returns the node file with one host in the place of another and every other byte as it was. The old host must be on the
// list, written out in one place. The result is read again and compared before it is returned; an error is of type Problems.
func EditNodeList(file File, from, to string) ([]byte, error) {
	before, err := ParseNodeList(file)
	if err != nil {
		return nil, err
	}
	if err := CheckHost(to); err != nil {
		return nil, Problems{{file.Path, 0, err.Error()}}
	}
	i := slices.IndexFunc(before, func(n Name) bool { return n.Host == from })
	if i < 0 {
		return nil, Problems{{file.Path, 0, fmt.Sprintf("does not list the host %q, expected it; correct the file", from)}}
	}
	var found []byte
	for at := range file.Data {
		if !isWord(file.Data, at, from) {
			continue
		}
		out := slices.Concat(file.Data[:at], []byte(to), file.Data[at+len(from):])
		after, err := ParseNodeList(File{file.Path, out})
		if err != nil || !replaced(before, after, i, to) {
			continue // in a comment, say
		}
		if found != nil {
			return nil, Problems{{file.Path, before[i].Line, fmt.Sprintf("names the host %q in more than one place that counts, expected one; edit it by hand", from)}}
		}
		found = out
	}
	if found == nil {
		return nil, Problems{{file.Path, before[i].Line, fmt.Sprintf("does not name the host %q in one piece, expected nodes=\"HOST HOST\"; edit it by hand", from)}}
	}
	return found, nil
}

// replaced tells whether the one list is the other with its i-th host changed.
func replaced(before, after []Name, i int, to string) bool {
	return len(before) == len(after) && after[i].Host == to &&
		slices.EqualFunc(slices.Concat(before[:i], before[i+1:]), slices.Concat(after[:i], after[i+1:]), func(a, b Name) bool { return a.Host == b.Host })
}

// isWord tells whether word stands at that place with no more of a host name before or behind it.
func isWord(data []byte, at int, word string) bool {
	end := at + len(word)
	if end > len(data) || string(data[at:end]) != word {
		return false
	}
	part := func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_'
	}
	return (at == 0 || !part(data[at-1])) && (end == len(data) || !part(data[end]))
}
