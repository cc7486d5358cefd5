package client_test

import (
	"slices"
	"testing"

	"github.com/openslipway/slipway/internal/cli/client"
)

func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"shop-api", "shop-web", "billing", "Orders", "größe"}
	for typed, want := range map[string][]string{
		"shop":      {"shop-api", "shop-web"},
		"shop-ap":   {"shop-api"},
		"shopapi":   {"shop-api"},
		"biling":    {"billing"},
		"orders":    {"Orders"},
		"grösse":    {"größe"},
		"unrelated": nil,
		"":          nil,
	} {
		if got := client.Nearest(typed, names); !slices.Equal(got, want) {
			t.Errorf("Nearest(%q) = %q, want %q", typed, got, want)
		}
	}
	if got := client.Nearest("web", []string{"web1", "web2", "web3", "web4"}); len(got) != 3 {
		t.Errorf("%d names, want 3", len(got))
	}
}
