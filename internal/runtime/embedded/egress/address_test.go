package egress

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func mustPlan(t *testing.T, name, prefix string) plan {
	t.Helper()
	p, err := newPlan(name, netip.MustParsePrefix(prefix))
	check(t, err)
	return p
}

func TestPlan(t *testing.T) {
	t.Parallel()
	p := mustPlan(t, "slipway", "198.18.0.0/16")
	for _, r := range []struct{ what, got, want string }{
		{"gateway", p.gateway().String(), "198.18.0.1"},
		{"address", p.address(0x1f).String(), "198.18.0.31"},
		{"last address", p.address(p.lastLease()).String(), "198.18.255.254"},
		{"device", p.device(0x1f), "slipway-1f"},
		{"hardware address", p.hardware(0x101).String(), "02:53:c6:12:01:01"},
		{"table", p.table(), "slipway-egress"},
	} {
		if r.got != r.want {
			t.Errorf("%s is %s, want %s", r.what, r.got, r.want)
		}
	}
	for _, device := range []string{
		"slipway-", "slipway-0", "slipway-1", "slipway-ffff", "slipway-10000", "slipway-01f", "slipway-1F", "slipway-+1f",
		"slipway-gw", "slipway-100000000", "other-1f", "slipway1f", "eth0", "",
	} {
		if lease, ok := p.leaseOf(device); ok {
			t.Errorf("device %q has lease %#x", device, lease)
		}
	}
	for _, a := range []string{"198.18.0.0", "198.18.0.1", "198.18.255.255", "198.19.0.2", "::1", "::ffff:198.18.0.2"} {
		if lease, ok := p.lease(netip.MustParseAddr(a)); ok {
			t.Errorf("address %s has lease %#x", a, lease)
		}
	}
}

func TestPlanRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.IntRange(minPrefixBits, maxPrefixBits).Draw(t, "bits")
		base := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "base")
		name := rapid.StringMatching("[a-z0-9]{1,8}").Draw(t, "name")
		p, err := newPlan(name, netip.PrefixFrom(netip.AddrFrom4([4]byte(base)), bits).Masked())
		if err != nil {
			t.Fatal(err)
		}
		lease := rapid.Uint32Range(firstLease, p.lastLease()).Draw(t, "lease")
		if got, ok := p.leaseOf(p.device(lease)); !ok || got != lease {
			t.Errorf("lease %d has device %s, which has lease %d, %v", lease, p.device(lease), got, ok)
		}
		if got, ok := p.lease(p.address(lease)); !ok || got != lease {
			t.Errorf("lease %d has address %s, which has lease %d, %v", lease, p.address(lease), got, ok)
		}
		if d := p.device(lease); len(d) > 15 {
			t.Errorf("device name %s is too long for the kernel", d)
		}
		if l := p.label(); len(l) > 15 {
			t.Errorf("address label %s is too long for the kernel", l)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	for _, r := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"no logger", Config{}, "logger"},
		{"long name", Config{Log: log, Name: "slipwayslipway"}, `"slipwayslipway"`},
		{"name with a dash", Config{Log: log, Name: "a-b"}, "a-z and 0-9"},
		{"IPv6", Config{Log: log, Prefix: netip.MustParsePrefix("fd00::/64")}, "IPv4"},
		{"too long a prefix", Config{Log: log, Prefix: netip.MustParsePrefix("198.18.0.0/29")}, "/8 to /28"},
		{"too short a prefix", Config{Log: log, Prefix: netip.MustParsePrefix("0.0.0.0/0")}, "/8 to /28"},
		{"an address with a length", Config{Log: log, Prefix: netip.MustParsePrefix("198.18.1.0/16")}, "198.18.0.0/16"},
		{"denied IPv6", Config{Log: log, Deny: []netip.Prefix{netip.MustParsePrefix("::/0")}}, "::/0"},
		{"a resolver inside", Config{Log: log, Resolvers: []netip.AddrPort{netip.MustParseAddrPort("198.18.0.1:53")}}, "outside of 198.18.0.0/16"},
		{"a resolver without a port", Config{Log: log, Resolvers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:0")}}, "192.0.2.1:0"},
		{"port 0", Config{Log: log, AllowHostPorts: []uint16{0}}, "1 to 65535"},
		{"small MTU", Config{Log: log, MTU: 100}, "576"},
		{"negative bound", Config{Log: log, MaxConnections: -1}, "-1"},
		{"negative rate", Config{Log: log, MaxNewConnections: -1}, "-1"},
	} {
		if _, err := New(r.cfg); err == nil || !strings.Contains(err.Error(), r.want) {
			t.Errorf("%s: %v, want an error with %q", r.name, err, r.want)
		}
	}
	if _, err := New(Config{Log: log}); err != nil {
		t.Errorf("the zero configuration: %v", err)
	}
}
