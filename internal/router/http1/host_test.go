package http1

import (
	"strings"
	"testing"
)

func TestNormalHost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, want string
		ok       bool
	}{
		{"shop.example", "shop.example", true},
		{"Shop.EXAMPLE", "shop.example", true},
		{"shop.example:8080", "shop.example", true},
		{"shop.example:", "shop.example", true},
		{"shop.example.", "shop.example", true},
		{"Shop.Example.:80", "shop.example", true},
		{"localhost", "localhost", true},
		{"a_b.example", "a_b.example", true},
		{"127.0.0.1:80", "127.0.0.1", true},
		{"[::1]", "[::1]", true},
		{"[2001:DB8::1]:443", "[2001:db8::1]", true},
		{"[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]", true},
		{strings.Repeat("a", 63) + ".b", strings.Repeat("a", 63) + ".b", true},

		{"", "", false},
		{".", "", false},
		{"..", "", false},
		{".shop", "", false},
		{"shop..example", "", false},
		{"shop.example..", "", false},
		{"shop.example:http", "", false},
		{"shop.example:123456", "", false},
		{"shop.example:80:80", "", false},
		{"shop example", "", false},
		{"user@shop.example", "", false},
		{"shop/example", "", false},
		{"shop.example\x00", "", false},
		{"bücher.example", "", false},
		{"[::1", "", false},
		{"[]", "", false},
		{"[shop]", "", false},
		{"[::1]x", "", false},
		{"[::1]:x", "", false},
		{"[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]", "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]", true},
		{"[" + strings.Repeat("0", 46) + "]", "", false},
		{"[" + strings.Repeat("0", 300) + "]", "", false},
		{"::1", "", false},
		{strings.Repeat("a", 64) + ".b", "", false},
		{strings.Repeat("a.", 128), "", false},
	} {
		got, ok := NormalHost(c.in)
		if got != c.want || ok != c.ok {
			t.Errorf("NormalHost(%q) = %q, %v; want %q, %v", c.in, got, ok, c.want, c.ok)
		}
	}
}

func TestNormalHostDoesNotAllocate(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { NormalHost("abcdefghij.us-east-1.slipway.localhost:8080") }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// Every accepted value is a fixed point in lower case, and contains nothing
// that could end a header or begin a path.
func FuzzNormalHost(f *testing.F) {
	for _, s := range []string{"shop.example:80", "[::1]:80", "A.b.", "x..y", "a:b:c", "\x00", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		host, ok := NormalHost(in)
		if !ok {
			if host != "" {
				t.Fatalf("NormalHost(%q) = %q although it is refused", in, host)
			}
			return
		}
		if again, ok := NormalHost(host); again != host || !ok {
			t.Fatalf("NormalHost(%q) = %q, of which it is %q, %v", in, host, again, ok)
		}
		if strings.ContainsAny(host, " \t\r\n/?#@\\\x00") || host != strings.ToLower(host) || len(host) > maxHost {
			t.Fatalf("NormalHost(%q) = %q", in, host)
		}
		if !strings.HasPrefix(strings.ToLower(in), host) {
			t.Fatalf("NormalHost(%q) = %q is not what it begins with", in, host)
		}
	})
}
