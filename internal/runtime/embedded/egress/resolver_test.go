package egress

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHostResolvers(t *testing.T) {
	t.Parallel()
	for _, r := range []struct {
		name, conf, systemd string // "-": no such file
		upstream            []string
		file                string
	}{
		{
			name: "ordinary", conf: "search corp.example\nnameserver 192.0.2.53\nnameserver 192.0.2.54\noptions edns0\n", systemd: "-",
			upstream: []string{"192.0.2.53:53", "192.0.2.54:53"}, file: "nameserver 192.0.2.53\nnameserver 192.0.2.54\n",
		},
		{
			name: "systemd-resolved", conf: "nameserver 127.0.0.53\noptions trust-ad\n", systemd: "nameserver 192.0.2.1\nnameserver fe80::1%eth0\n",
			upstream: []string{"192.0.2.1:53", "[fe80::1%eth0]:53"}, file: "nameserver 192.0.2.1\n",
		},
		{
			name: "systemd-resolved that knows no server", conf: "nameserver 127.0.0.53\n", systemd: "# none\n",
			upstream: []string{"127.0.0.53:53"}, file: "nameserver 198.18.0.1\n",
		},
		{
			name: "systemd-resolved beside another", conf: "nameserver 127.0.0.53\nnameserver 192.0.2.53\n", systemd: "nameserver 192.0.2.1\n",
			upstream: []string{"127.0.0.53:53", "192.0.2.53:53"}, file: "nameserver 192.0.2.53\n",
		},
		{
			name: "dnsmasq", conf: "nameserver 127.0.0.1\n", systemd: "nameserver 192.0.2.1\n",
			upstream: []string{"127.0.0.1:53"}, file: "nameserver 198.18.0.1\n",
		},
		{
			name: "only IPv6", conf: "nameserver 2001:db8::53\n", systemd: "-",
			upstream: []string{"[2001:db8::53]:53"}, file: "nameserver 198.18.0.1\n",
		},
		{
			name: "a cloud's link-local one", conf: "nameserver 169.254.169.253\n", systemd: "-",
			upstream: []string{"169.254.169.253:53"}, file: "nameserver 169.254.169.253\n",
		},
		{
			name: "none", conf: "-", systemd: "-",
			upstream: []string{"127.0.0.1:53"}, file: "nameserver 198.18.0.1\n",
		},
		{
			name: "many", conf: "nameserver 192.0.2.1\nnameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n", systemd: "-",
			upstream: []string{"192.0.2.1:53", "192.0.2.2:53", "192.0.2.3:53", "192.0.2.4:53"},
			file:     "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n",
		},
	} {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write := func(name, contents string) string {
				path := filepath.Join(dir, name)
				if contents != "-" {
					check(t, os.WriteFile(path, []byte(contents), 0o600))
				}
				return path
			}
			servers, err := hostResolvers(write("resolv.conf", r.conf), write("systemd.conf", r.systemd))
			check(t, err)
			got := split(servers)
			var upstream []string
			for _, u := range got.upstream {
				upstream = append(upstream, u.String())
			}
			if diff := cmp.Diff(r.upstream, upstream); diff != "" {
				t.Errorf("name servers (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(r.file, string(got.file(netip.MustParseAddr("198.18.0.1")))); diff != "" {
				t.Errorf("resolv.conf (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHostResolversTooLong(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "resolv.conf")
	check(t, os.WriteFile(path, make([]byte, maxResolvConfSize+1), 0o600))
	if _, err := hostResolvers(path, path); err == nil {
		t.Error("a resolv.conf beyond the bound was read")
	}
}

func TestSplitPorts(t *testing.T) {
	t.Parallel()
	got := split([]netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:5353"), netip.MustParseAddrPort("192.0.2.2:53")})
	if want := []netip.Addr{netip.MustParseAddr("192.0.2.2")}; !slices.Equal(got.direct, want) {
		t.Errorf("asked directly: %v, want %v", got.direct, want)
	}
}

func FuzzParseResolvConf(f *testing.F) {
	f.Add([]byte("nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n"))
	f.Add([]byte("nameserver\t::1\r\nnameserver fe80::1%eth0\n#nameserver 192.0.2.1\n"))
	f.Add([]byte("nameserver 192.0.2.1 192.0.2.2\nnameserver 1.2.3\n;\nnameserver"))
	f.Fuzz(func(t *testing.T, b []byte) {
		servers := parseResolvConf(b)
		for i, s := range servers {
			if !s.IsValid() || s.Addr().Is4In6() || s.Port() != dnsPort {
				t.Errorf("name server %s", s)
			}
			if slices.Contains(servers[:i], s) {
				t.Errorf("name server %s twice", s)
			}
		}
		// What is written for an instance reads back as what it may ask.
		direct := split(servers).direct
		for i, s := range parseResolvConf(split(servers).file(netip.MustParseAddr("198.18.0.1"))) {
			if len(direct) > 0 && s.Addr() != direct[i] {
				t.Errorf("name server %d reads as %s, want %s", i, s.Addr(), direct[i])
			}
		}
	})
}
