//go:build linux

package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/daemon"
)

// An empty flag trusts no domain, and invalid domains are refused.
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
		switch err := cfg.Check(); {
		case c.want == "" && (err == nil || !strings.Contains(err.Error(), "--trusted-domain")):
			t.Errorf("%q: %v, want it refused", c.flag, err)
		case c.want != "" && (err != nil || fmt.Sprint(cfg.TrustedDomains) != c.want):
			t.Errorf("%q: %v, %v; want %s", c.flag, cfg.TrustedDomains, err, c.want)
		}
	}
	if got := fmt.Sprint(daemon.Default().TrustedDomains); got != "[localhost]" {
		t.Errorf("by default %s are trusted", got)
	}
}
