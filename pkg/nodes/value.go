package nodes

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// checkText refuses what can be no value of any setting: nothing, control characters (a line end, a NUL), blanks at
// an end, and bytes that are no UTF-8.
func checkText(s string) error {
	switch {
	case s == "":
		return errors.New("an empty value, expected one; correct the value or remove the key")
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("the value %q with a control character, expected printable text; correct the value", s)
	case strings.TrimSpace(s) != s:
		return fmt.Errorf("the value %q with a blank at an end, expected none; correct the value", s)
	}
	return nil
}

func checkWord(s string) error {
	if err := checkText(s); err != nil {
		return err
	}
	if s[0] == '-' {
		return fmt.Errorf("the value %q, expected a name that begins with no dash; correct the value", s)
	}
	return nil
}

func checkPath(s string) error {
	if err := checkText(s); err != nil {
		return err
	}
	if s[0] != '/' {
		return fmt.Errorf("the value %q, expected an absolute path; correct the value", s)
	}
	return nil
}

// checkUnit allows what service(8) and systemd have in a name, postgresql@15-main.service among them.
func checkUnit(s string) error {
	if err := checkWord(s); err != nil {
		return err
	}
	for _, r := range s {
		if !isAlnum(r) && !strings.ContainsRune("@._:-", r) {
			return fmt.Errorf("the value %q, expected the name of a service: letters, digits and @ . _ : -; correct the value", s)
		}
	}
	return nil
}

func checkAddress(s string) error {
	if err := checkText(s); err != nil {
		return err
	}
	colon := strings.LastIndexByte(s, ':')
	_, isPort := parsePort(s[colon+1:])
	if colon < 0 || !isPort {
		return fmt.Errorf("the value %q, expected HOST:PORT or :PORT; correct the value", s)
	}
	host := s[:colon]
	if address, ok := strings.CutPrefix(host, "["); ok {
		address, closed := strings.CutSuffix(address, "]")
		if ip, err := netip.ParseAddr(address); err != nil || !closed || !ip.Is6() {
			return fmt.Errorf("the value %q, expected an IPv6 address between the brackets; correct the value", s)
		}
		return nil
	}
	if host == "" {
		return nil
	}
	if err := CheckHost(host); err != nil {
		return fmt.Errorf("the value %q: %w; correct the value", s, err)
	}
	return nil
}

func orOff(check func(string) error) func(string) error {
	return func(s string) error {
		if s == "off" {
			return nil
		}
		return check(s)
	}
}
