package embedded

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/runtime/embedded/egress"
	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

// capabilities are those that an application may have, within its own user
// namespace: Docker's default. AUDIT_WRITE and MKNOD mean nothing there, but a program
// whose file asks for one would not start without. With NET_RAW it can send any packet
// into its own link, of which the host takes only those with the instance's address.
var capabilities = []struct {
	name   string
	number int
}{
	{"CAP_AUDIT_WRITE", unix.CAP_AUDIT_WRITE},
	{"CAP_CHOWN", unix.CAP_CHOWN},
	{"CAP_DAC_OVERRIDE", unix.CAP_DAC_OVERRIDE},
	{"CAP_FOWNER", unix.CAP_FOWNER},
	{"CAP_FSETID", unix.CAP_FSETID},
	{"CAP_KILL", unix.CAP_KILL}, // an init that stays needs it as well
	{"CAP_MKNOD", unix.CAP_MKNOD},
	{"CAP_NET_BIND_SERVICE", unix.CAP_NET_BIND_SERVICE},
	{"CAP_NET_RAW", unix.CAP_NET_RAW},
	{"CAP_SETFCAP", unix.CAP_SETFCAP},
	{"CAP_SETGID", unix.CAP_SETGID},
	{"CAP_SETPCAP", unix.CAP_SETPCAP},
	{"CAP_SETUID", unix.CAP_SETUID},
	{"CAP_SYS_CHROOT", unix.CAP_SYS_CHROOT},
}

func capabilityNames() []string {
	names := make([]string, len(capabilities))
	for i, c := range capabilities {
		names[i] = c.name
	}
	return names
}

func capabilityBits() (bits uint64) {
	for _, c := range capabilities {
		bits |= 1 << c.number
	}
	return bits
}

const (
	// hostnameLength is how much of an instance's id is its host name:
	// Docker's.
	hostnameLength = 12

	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// order puts a specification into the init's words.
func (d *Driver) order(want runtime.Spec, link egress.Link) *handoff.Order {
	hostname := want.ID[:hostnameLength]
	env := want.Process.Env
	if !hasVariable(env, "PATH") {
		env = append(env[:len(env):len(env)], "PATH="+defaultPath)
	}
	if !hasVariable(env, "HOSTNAME") {
		env = append(env[:len(env):len(env)], "HOSTNAME="+hostname)
	}
	return &handoff.Order{
		Hostname: hostname,
		Argv:     want.Process.Argv,
		Env:      env,
		Dir:      want.Process.Dir,
		User:     want.Process.User,
		Init:     want.Process.Init,
		Volumes:  want.Process.Volumes,
		Hosts:    hosts(hostname, link),
		Resolv:   string(link.Resolv),
		Caps:     capabilityBits(),
		Filter:   d.filter,
		Access:   d.landlock.access,
		Scopes:   d.landlock.scopes,
		Profile:  d.cfg.Profile,
	}
}

func hasVariable(env []string, name string) bool {
	for _, e := range env {
		if strings.HasPrefix(e, name+"=") {
			return true
		}
	}
	return false
}

// standardHosts are the entries of /etc/hosts that Docker makes, too.
const standardHosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" +
	"fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"

// hosts is an instance's /etc/hosts.
func hosts(hostname string, link egress.Link) string {
	own := "127.0.0.1"
	if link.Addr.IsValid() {
		own = link.Addr.Addr().String()
	}
	return standardHosts + own + "\t" + hostname + "\n"
}

// stopSignal returns the signal that asks an application to end, given as in
// an image's config: "SIGTERM", "TERM", "15" or "SIGRTMIN+3". What is none of
// these means SIGTERM.
func stopSignal(name string) unix.Signal {
	name = strings.ToUpper(name)
	if n := number(name); n >= 1 && n <= lastSignal {
		return unix.Signal(n)
	}
	name = "SIG" + strings.TrimPrefix(name, "SIG")
	if s := unix.SignalNum(name); s != 0 {
		return s
	}
	if rest, ok := strings.CutPrefix(name, "SIGRTMIN"); ok {
		if n := firstRealTime + number(strings.TrimPrefix(rest, "+")); n >= firstRealTime && n <= lastSignal {
			return unix.Signal(n)
		}
	}
	if rest, ok := strings.CutPrefix(name, "SIGRTMAX"); ok {
		if n := lastSignal - number(strings.TrimPrefix(rest, "-")); n >= firstRealTime && n <= lastSignal {
			return unix.Signal(n)
		}
	}
	return unix.SIGTERM
}

const (
	firstRealTime = 34 // C libraries keep 32 and 33
	lastSignal    = 64
)

// number returns the value of decimal digits, 0 for anything else.
func number(s string) (n int) {
	for _, c := range s {
		if c < '0' || c > '9' || n > lastSignal {
			return 0
		}
		n = 10*n + int(c-'0')
	}
	return n
}
