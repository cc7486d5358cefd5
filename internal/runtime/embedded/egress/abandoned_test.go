package egress

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
)

// TestRemoveAbandoned checks that of several networks the one that nobody uses goes, and
// that those stay that have a server, an instance, or a name of somebody else's.
func TestRemoveAbandoned(t *testing.T) {
	l := newTestHost(t)
	at := func(name string, third int) Config {
		return Config{Name: name, Prefix: netip.MustParsePrefix(fmt.Sprintf("198.18.%d.0/24", third))}
	}
	killed := func(cfg Config) *Network { // leaves all it made, as a process that was killed
		n := newNetwork(t, cfg)
		n.closeForwarder()
		return n
	}
	newNetwork(t, at("sw1", 1)) // has a server
	killed(at("sw2", 2))
	instance := killed(at("sw3", 3))
	attach(t, instance, "a", newNamespace(t))
	killed(at("db4", 4))
	killed(Config{Name: "sw5", Prefix: netip.MustParsePrefix("198.19.0.0/24")}) // outside of the space
	address(t, l.route, "lo", "198.18.6.1/32")                                  // the operator's own
	t.Cleanup(func() {
		lo, err := l.route.LinkByName("lo")
		check(t, err)
		check(t, l.route.AddrDel(lo, &netlink.Addr{IPNet: hostNet("198.18.6.1")}))
	})

	remove := func() []string {
		removed, err := RemoveAbandoned(t.Context(), DefaultPrefix, func(name string) bool { return strings.HasPrefix(name, "sw") }, slog.New(slog.DiscardHandler))
		check(t, err)
		return removed
	}
	if got := remove(); !slices.Equal(got, []string{"sw2"}) {
		t.Errorf("removed %v, want sw2", got)
	}
	lo, err := l.route.LinkByName("lo")
	check(t, err)
	addrs, err := l.route.AddrList(lo, netlink.FAMILY_V4)
	check(t, err)
	var labels []string
	for _, a := range addrs {
		labels = append(labels, a.Label)
	}
	slices.Sort(labels)
	if want := []string{"lo", "lo", "lo:db4", "lo:sw1", "lo:sw3", "lo:sw5"}; !slices.Equal(labels, want) {
		t.Errorf("the loopback device has %v, want %v", labels, want)
	}
	if got := ruleset(t); got["tables"] != 4 {
		t.Errorf("tables: %v, want 4", got["tables"])
	}
	if got := remove(); len(got) > 0 {
		t.Errorf("the second time removed %v", got)
	}
}
