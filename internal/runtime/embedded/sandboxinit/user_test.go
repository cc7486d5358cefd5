package sandboxinit

import (
	"slices"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

const (
	passwd = `root:x:0:0:root:/root:/bin/sh
# a comment
daemon:x:1:1::/usr/sbin:
broken:x:many:1::/:
short:x:5
web:x:1000:1001:Web,,,:/home/web:/bin/sh
homeless:x:1002:1002:::
1234:x:77:77::/numeric:
huge:x:99999999999:1::/:
`
	group = `root:x:0:
web:x:1001:
log:x:1002:web,daemon
audio:x:1003:daemon,web,
bad:x:none:web
99:x:1099:
`
)

func TestResolveUser(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		setting  string
		uid, gid uint32
		groups   []uint32
		home     string
	}{
		{"", 0, 0, nil, "/root"},
		{"root", 0, 0, nil, "/root"},
		{"0", 0, 0, nil, "/root"},
		{"web", 1000, 1001, []uint32{1002, 1003}, "/home/web"},
		{"1000", 1000, 1001, []uint32{1002, 1003}, "/home/web"},
		{"web:", 1000, 1001, []uint32{1002, 1003}, "/home/web"},
		{"web:log", 1000, 1002, nil, "/home/web"},
		{"web:5", 1000, 5, nil, "/home/web"},
		{"web:99", 1000, 99, nil, "/home/web"}, // a number is an id, not a name
		{":log", 0, 1002, nil, "/root"},
		{"homeless", 1002, 1002, nil, "/"},
		{"1234", 1234, 0, nil, "/"}, // likewise
		{"4711", 4711, 0, nil, "/"},
		{"4711:4712", 4711, 4712, nil, "/"},
		{"65535:65535", 65535, 65535, nil, "/"},
	} {
		who, err := resolveUser(c.setting, passwd, group)
		if err != nil {
			t.Errorf("%q: %v", c.setting, err)
			continue
		}
		if who.uid != c.uid || who.gid != c.gid || !slices.Equal(who.groups, c.groups) || who.home != c.home {
			t.Errorf("%q is %+v, want %+v", c.setting, *who, c)
		}
	}
	for setting, reason := range map[string]string{
		"nobody":       `user "nobody" is not in the image's /etc/passwd`,
		"broken":       `user "broken" is not in the image's /etc/passwd`,
		"huge":         `user "huge" is not in the image's /etc/passwd`,
		"web:wheel":    `group "wheel" is not in the image's /etc/group`,
		"web:bad":      `group "bad" is not in the image's /etc/group`,
		"2147483648":   "too large, ids end at 2147483647",
		"0:2147483648": "too large, ids end at 2147483647",
		"4294967296":   "the number is too large",
		"0:4294967296": "the number is too large",
	} {
		if who, err := resolveUser(setting, passwd, group); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q is %+v, %v, want an error with %q", setting, who, err, reason)
		}
	}
	if who, err := resolveUser("", "", ""); err != nil || who.uid != 0 || who.home != "/" {
		t.Errorf("without account files root is %+v, %v", who, err)
	}
}

func FuzzResolveUser(f *testing.F) {
	f.Add("web:log", passwd, group)
	f.Add("1000", passwd, group)
	f.Add("::", "::::::", ":::")
	f.Fuzz(func(t *testing.T, setting, passwd, group string) {
		who, err := resolveUser(setting, passwd, group)
		if err != nil {
			return
		}
		if who.home == "" {
			t.Error("no home")
		}
		for _, id := range append([]uint32{who.uid, who.gid}, who.groups...) {
			if id > handoff.MaxID {
				t.Errorf("id %d", id)
			}
		}
	})
}

func TestPingGroups(t *testing.T) {
	t.Parallel()
	for gidMap, want := range map[string]string{
		"         0 1073741824      65536\n": "0 65535",
		"         0 1073741824      65536\n     65536 3000000000 1147418112\n1147483648 2147483648  999999999\n": "0 1147483647",
		"         0          0 4294967295\n": "0 4294967294",
	} {
		if got := pingGroups(gidMap); got != want {
			t.Errorf("%q: %q, want %q", gidMap, got, want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	env := []string{"A=1", "B=2", "A=3", "EMPTY=", "BARE"}
	for name, want := range map[string]string{"A": "3", "B": "2", "EMPTY": "", "C": ""} {
		if got := lookup(env, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, c := range []struct {
		env  []string
		want string
	}{
		{[]string{"A=1", "HOME=/mine"}, "/mine"}, {[]string{"A=1"}, "/home/web"}, {[]string{"HOME=", "A=1"}, "/home/web"},
	} {
		got := withHome(c.env, "/home/web")
		if lookup(got, "HOME") != c.want || lookup(got, "A") != lookup(c.env, "A") || strings.Count(strings.Join(got, "\n"), "HOME=") != 1 {
			t.Errorf("%q becomes %q, want HOME=%s", c.env, got, c.want)
		}
	}
}
