package egress

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
)

// What is in the way of a prefix: routes of others to addresses in it, not our
// own, and not those whose device went while they were listed.
func TestConflict(t *testing.T) {
	t.Parallel()
	p, err := newPlan("net0", netip.MustParsePrefix("198.18.160.0/20"))
	if err != nil {
		t.Fatal(err)
	}
	devices := map[int]string{1: "lo", 2: "eth0", 3: p.device(8)}
	for _, c := range []struct {
		name     string
		to       string
		device   int
		loopback bool
		refused  bool
	}{
		{"another device's", "198.18.161.0/24", 2, false, true},
		{"the whole prefix", "198.18.160.0/20", 2, false, true},
		{"more than the prefix", "198.18.0.0/16", 2, false, false},
		{"elsewhere", "10.0.0.0/8", 2, false, false},
		{"our own link", "198.18.160.8/32", 3, false, false},
		{"a link that went meanwhile", "198.18.160.8/32", 4, false, false},
		{"a route into nothing", "198.18.160.0/24", 0, false, true},
		{"our gateway", p.gateway().String() + "/32", 1, true, false},
		{"somebody's address that is our gateway", p.gateway().String() + "/32", 1, false, true},
	} {
		_, to, err := net.ParseCIDR(c.to)
		if err != nil {
			t.Fatal(err)
		}
		err = p.conflict([]netlink.Route{{Dst: to, LinkIndex: c.device}}, devices, c.loopback)
		if (err != nil) != c.refused || err != nil && !strings.Contains(err.Error(), c.to) {
			t.Errorf("%s: %v, want refused %t", c.name, err, c.refused)
		}
	}
}
