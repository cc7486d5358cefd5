package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestNameServers(t *testing.T) {
	t.Parallel()
	got, err := nameServers("dns-resolver", []string{"192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "[2001:db8::1]:5353"})
	if want := "[192.0.2.1:53 192.0.2.1:5353 [2001:db8::1]:53 [2001:db8::1]:5353]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v, %v; want %s", got, err, want)
	}
	for _, wrong := range []string{"", "ns.example.com", "192.0.2.1:dns", "192.0.2.1:99999"} {
		if _, err := nameServers("dns-resolver", []string{wrong}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("--dns-resolver has %q", wrong)) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

// No domain is trusted when an empty one is said, and none that is no domain.
func TestTrustedDomains(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		flag string
		want string // "" for a refusal
	}{
		{"", "[]"},
		{"localhost,corp.test", "[localhost corp.test]"},
		{"Corp.test", ""},
		{"*.corp.test", ""},
		{".test", ""},
		{"corp.test.", ""},
	} {
		m := &Main{Getenv: func(string) string { return "" }}
		cmd, cfg := m.serveCommand()
		if err := cmd.Flags().Set("trusted-domain", c.flag); err != nil {
			t.Fatal(err)
		}
		switch err := cfg.check(); {
		case c.want == "" && (err == nil || !strings.Contains(err.Error(), "--trusted-domain")):
			t.Errorf("%q: %v, want it refused", c.flag, err)
		case c.want != "" && (err != nil || fmt.Sprint(cfg.TrustedDomains) != c.want):
			t.Errorf("%q: %v, %v; want %s", c.flag, cfg.TrustedDomains, err, c.want)
		}
	}
	if got := fmt.Sprint(defaultServe().TrustedDomains); got != "[localhost]" {
		t.Errorf("by default %s are trusted", got)
	}
}
