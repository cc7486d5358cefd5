package daemon

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
)

// Without root nothing is written, and the error says what to do.
func TestRights(t *testing.T) {
	t.Parallel()
	if err := checkRights(0); err != nil {
		t.Error(err)
	}
	if err := checkRights(1000); err == nil || !strings.Contains(err.Error(), "sudo slipway serve") {
		t.Errorf("%v", err)
	}
}

// onHost lists what the network of a data directory has on this machine.
func onHost(t *testing.T, d dirs) (found []string) {
	t.Helper()
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if a.Label == "lo:"+networkName(d) {
			found = append(found, a.String())
		}
	}
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	tables, err := c.ListTables()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if strings.HasPrefix(table.Name, networkName(d)) {
			found = append(found, table.Name)
		}
	}
	return found
}

// A start that fails at any step leaves nothing on the host, and the next start works.
func TestFailedStartLeavesNothing(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("the server needs root")
	}
	missing := filepath.Join(t.TempDir(), "missing")
	directory := func(name ...string) func(*testing.T, dirs, *Config) {
		return func(t *testing.T, d dirs, _ *Config) {
			if err := os.MkdirAll(filepath.Join(append([]string{string(d)}, name...)...), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name string
		harm func(*testing.T, dirs, *Config)
		want string
	}{
		{"database", directory("slipway.db"), "database"},
		{"node", func(t *testing.T, d dirs, _ *Config) {
			directory()(t, d, nil)
			if err := os.WriteFile(d.node(), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "is empty"},
		{"images", func(_ *testing.T, _ dirs, c *Config) { c.Aliases = []string{"x"} }, "--alias"},
		{"network", directory("network"), "network"},
		{"addresses", func(_ *testing.T, _ dirs, c *Config) { c.Allowed = []string{"http://10.0.0.1"} }, "--allow-address"},
		{"collector", func(_ *testing.T, _ dirs, c *Config) { c.OTLPEndpoint = "no://where" }, "otlp"},
		{"code", func(_ *testing.T, _ dirs, c *Config) { c.Git.KnownHosts = missing }, "--git-known-hosts"},
		{"runtimes", func(_ *testing.T, _ dirs, c *Config) { c.Build.RuntimesFile = missing }, "--runtimes-file"},
		{"credentials", directory("credentials"), "credentials"},
		{"quotas", func(_ *testing.T, _ dirs, c *Config) { c.Quotas = []string{"x"} }, "--quota"},
	} {
		// One after the other: package nftables counts sets in a variable without a lock,
		// and a process has one server.
		t.Run(c.name, func(t *testing.T) {
			conf := Default()
			conf.DataDir, conf.APIAddr, conf.HTTPAddr = filepath.Join(t.TempDir(), "data"), "127.0.0.1:0", "127.0.0.1:0"
			conf.SelfInit = true // nothing is started
			d, good := dirs(conf.DataDir), conf
			c.harm(t, d, &conf)
			s, err := New(t.Context(), conf, slog.New(slog.DiscardHandler))
			if err == nil {
				s.undo(t.Context())
				s.Close()
				t.Fatal("it starts")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q in it", err, c.want)
			}
			if found := onHost(t, d); len(found) > 0 {
				t.Errorf("it leaves %v", found)
			}
			for _, name := range []string{"slipway.db", "network", "credentials", "node"} {
				if i, err := os.Stat(filepath.Join(string(d), name)); err == nil && (i.IsDir() || i.Size() == 0) {
					os.Remove(filepath.Join(string(d), name))
				}
			}
			s, err = New(t.Context(), good, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatalf("the next start: %v", err)
			}
			s.undo(context.WithoutCancel(t.Context()))
			s.Close()
			if found := onHost(t, d); len(found) > 0 {
				t.Errorf("the next leaves %v", found)
			}
		})
	}
}

// The prefix that a directory has used is all that is tried while instances live, and
// only the first otherwise.
func TestPrefixes(t *testing.T) {
	t.Parallel()
	d := dirs(t.TempDir())
	pinned := netip.MustParsePrefix("198.18.48.0/20")
	if err := os.WriteFile(d.network(), []byte(pinned.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := egressPrefixes(d, true); !slices.Equal(got, []netip.Prefix{pinned}) {
		t.Errorf("with instances %v", got)
	}
	got := egressPrefixes(d, false)
	if len(got) != prefixes || got[0] != pinned {
		t.Errorf("without instances %v", got)
	}
	if d.hasInstances() {
		t.Error("a new directory has instances")
	}
	if err := os.MkdirAll(filepath.Join(d.instances(), "instances", "one"), 0o700); err != nil {
		t.Fatal(err)
	}
	if !d.hasInstances() {
		t.Error("an instance is not seen")
	}
}
