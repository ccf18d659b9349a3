package postgres

import (
	"bytes"
	"fmt"
	"strings"
)

// gateMark ends every line of the block that keeps clients out (pg_hba.conf takes a comment after a record: manual, "The pg_hba.conf File"). Lines that
// have it are pgctl's; every other byte of the file is the site's and stays as it is.
const gateMark = " # pgctl: clients are kept out"

// hbaGate is the block at the head of pg_hba.conf that keeps clients out: the first record that fits a connection decides. The watcher and the
// site's own role come in over the socket. "all" does not fit a physical replication connection, so who may replicate is for the rest of
// the file to say, as before; a logical one names a database, and is kept out.
func hbaGate(watcher, site login) []byte {
	admit := func(as login) string {
		method := "peer"
		if as.osUser != as.role { // whose password is looked for; the method takes every kind that is stored
			method = "md5"
		}
		return fmt.Sprintf("local all %s %s", quoteHBA(as.role), method)
	}
	lines := []string{admit(watcher)}
	if site.role != watcher.role {
		lines = append(lines, admit(site))
	}
	lines = append(lines, "local all all reject", "host all all all reject")
	var block bytes.Buffer
	for _, line := range lines {
		block.WriteString(line + gateMark + "\n")
	}
	return block.Bytes()
}

// quoteHBA quotes a name, which so means nothing but itself.
func quoteHBA(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// withGate is the file with the block at its head, and with no other.
func withGate(file, block []byte) []byte { return append(bytes.Clone(block), withoutGate(file)...) }

// withoutGate is the file as it was before.
func withoutGate(file []byte) []byte {
	kept := make([]byte, 0, len(file))
	for line := range bytes.Lines(file) {
		if !bytes.HasSuffix(bytes.TrimRight(line, "\r\n"), []byte(gateMark)) {
			kept = append(kept, line...)
		}
	}
	return kept
}

// hasGate tells whether the whole block heads the file.
func hasGate(file, block []byte) bool { return bytes.HasPrefix(file, block) }
