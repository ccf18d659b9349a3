package nodes

import (
	"fmt"
	"strings"
)

const (
	maxHostBytes  = 253 // RFC 1035: a name in text form
	maxLabelBytes = 63
	maxZoneBytes  = 63
)

// Name is a host name and the place it stands at.
type Name struct {
	Host string // has passed CheckHost
	Line int    // counted from 1
}

// CheckHost returns nil when name is a host name or an IPv4 address that can be handed to any program: 1 to 253
// letters, digits, dots and dashes of ASCII, no leading dash or dot, and labels of 1 to 63 bytes between the dots.
// Anything else gets an error that quotes the name.
func CheckHost(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("the host name is empty, expected 1 to %d letters, digits, dots and dashes", maxHostBytes)
	case len(name) > maxHostBytes:
		return fmt.Errorf("%.40q... is no host name: it has %d bytes, expected at most %d", name, len(name), maxHostBytes)
	case name[0] == '-' || name[0] == '.':
		return fmt.Errorf("%q is no host name: it begins with %q, expected a letter or a digit", name, name[:1])
	}
	for _, r := range name {
		if !isAlnum(r) && r != '.' && r != '-' {
			return fmt.Errorf("%q is no host name: it holds %q, expected only letters, digits, dots and dashes", name, r)
		}
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" {
			return fmt.Errorf("%q is no host name: it has nothing before or after a dot", name)
		}
		if len(label) > maxLabelBytes {
			return fmt.Errorf("%q is no host name: one part has %d bytes, expected at most %d between two dots",
				name, len(label), maxLabelBytes)
		}
	}
	return nil
}

// checkZone returns nil when id can be a zone: 1 to 63 letters, digits, dashes and underscores. Dots are not
// allowed, so that a copy such as server.yaml.ZONE.bak never passes for a zone.
func checkZone(id string) error {
	if id == "" {
		return fmt.Errorf("the zone id is empty, expected 1 to %d letters, digits, dashes and underscores", maxZoneBytes)
	}
	for _, r := range id {
		if !isAlnum(r) && r != '-' && r != '_' {
			return fmt.Errorf("%q is no zone id: it holds %q, expected only letters, digits, dashes and underscores", id, r)
		}
	}
	if len(id) > maxZoneBytes {
		return fmt.Errorf("%.40q... is no zone id: it has %d bytes, expected at most %d", id, len(id), maxZoneBytes)
	}
	return nil
}

func isAlnum(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}
