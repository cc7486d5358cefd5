package embedded_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded"
)

func withoutCancel(t *testing.T) context.Context { return context.WithoutCancel(t.Context()) }

func TestIdentity(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	for _, c := range []struct {
		user string
		want map[string]string
	}{
		{"", map[string]string{"uid": "0 0", "gid": "0 0", "groups": "[]", "HOME": "/root"}},
		{"web", map[string]string{"uid": "1000 1000", "gid": "1001 1001", "groups": "[1002]", "HOME": "/home/web"}},
		{"1000", map[string]string{"uid": "1000 1000", "gid": "1001 1001", "groups": "[1002]", "HOME": "/home/web"}},
		{"web:log", map[string]string{"uid": "1000 1000", "gid": "1002 1002", "groups": "[]"}},
		{"4711:65535", map[string]string{"uid": "4711 4711", "gid": "65535 65535", "groups": "[]", "HOME": "/"}},
		{"1000680000:0", map[string]string{"uid": "1000680000 1000680000", "gid": "0 0", "groups": "[]", "HOME": "/"}},
		{"2147483647:2147483647", map[string]string{"uid": "2147483647 2147483647", "gid": "2147483647 2147483647"}},
	} {
		spec := probe("id", "env HOME HOSTNAME PATH", "status CapEff CapBnd CapInh CapAmb NoNewPrivs Seccomp", "reopen")
		spec.Process.User = c.user
		spec.Process.Dir = "/made/for/it"
		found := s.run(spec)
		s.expect(found, c.want)
		s.expect(found, map[string]string{
			"dir": "/made/for/it", "host": spec.ID[:12], "HOSTNAME": spec.ID[:12], "session leader": "true",
			"PATH":   "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"CapBnd": "00000000a80425fb", "CapInh": "0000000000000000", "CapAmb": "0000000000000000",
			"NoNewPrivs": "0", "Seccomp": "2", "reopen": "ok",
		})
		effective := "0000000000000000"
		if c.user == "" {
			effective = "00000000a80425fb"
		}
		s.expect(found, map[string]string{"CapEff": effective})
	}
	spec := probe("env HOME HOSTNAME PATH PORT")
	spec.Process.Env = []string{"HOME=/mine", "PORT=1", "HOSTNAME=ship", "PATH=/bin"}
	s.expect(s.run(spec), map[string]string{"HOME": "/mine", "HOSTNAME": "ship", "PATH": "/bin", "PORT": "1"})
}

// TestVolumes checks that directories that an image declares as volumes are there, and
// that those it has keep their owner, mode and files.
func TestVolumes(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	spec := probe("list /data/store /srv /home/web", "write /data/store/x mine", "env HOME", "read /srv/text", "write /home/web/x mine")
	spec.Process.Volumes = []string{"/data/store/", "relative", "/srv", "/srv/text", "/", "/home/web", "/home/web/deep/er"}
	spec.Process.Env = []string{"HOME="}
	s.expect(s.run(spec), map[string]string{
		"/data/store": "", "/srv": "text", "/home/web": "deep", "write /data/store/x": "ok", "/srv/text": `"shared\n"`, "HOME": "/root", "write /home/web/x": "ok",
	})
	spec = probe("write /data/x mine", "write /home/web/x mine")
	spec.Process.Volumes, spec.Process.User = []string{"/data", "/home/web"}, "web"
	s.expect(s.run(spec), map[string]string{"write /data/x": "EACCES", "write /home/web/x": "ok"}) // as with Docker
}

func TestStartFailures(t *testing.T) {
	t.Parallel()
	s := newFixture(t, func(c *embedded.Config) {
		odd := filepath.Join(built.layers, "odd-"+filepath.Base(t.TempDir()))
		for path, text := range map[string]string{
			"bin/script": "#!/no/such/interpreter\n", "bin/text": "neither program nor script\n", "bin/data": "\x7fELF garbage",
			"bin/small": "\x7fELF\x01garbage",
		} {
			writeLayerFile(t, odd, path, text, 0o755)
		}
		writeLayerFile(t, odd, "bin/plain", "#!/bin/probe\n", 0o644)
		writeLayerFile(t, odd, "file", "", 0o644)
		t.Cleanup(func() { os.RemoveAll(odd) })
		c.Images.(images)[imageProbe] = append([]string{odd}, c.Images.(images)[imageProbe]...)
	})
	for _, c := range []struct {
		argv, user, dir string
		code            int
		reason          string
	}{
		{"/no/such/app", "", "/", 127, "exec /no/such/app: no such file or directory"},
		{"app", "", "/", 127, "exec app: no such program in the PATH of the image (" + defaultPath + ")"},
		{"", "", "/", 127, "there is no command to run"},
		{"/bin", "", "/", 126, "exec /bin: is a directory"},
		{"/bin/plain", "", "/", 126, "exec /bin/plain: permission denied (it is not executable)"},
		{"plain", "", "/", 126, "exec /bin/plain: permission denied (it is not executable)"},
		{"/bin/script", "", "/", 126, "what is missing is its interpreter"},
		{"/bin/text", "", "/", 126, "exec /bin/text: exec format error (it is neither a program for "},
		{"/bin/data", "", "/", 126, "exec /bin/data: exec format error"},
		{"/bin/small", "", "/", 126, "it is a 32-bit program, which this machine's kernel or processor does not run"},
		{"/bin/probe", "", "/file", 125, "working directory /file: not a directory"},
		{"/bin/probe", "", "/file/below", 125, "working directory /file/below: not a directory"},
		{"/bin/probe", "nobody", "/", 125, `user "nobody" is not in the image's /etc/passwd`},
		{"/bin/probe", "web:wheel", "/", 125, `group "wheel" is not in the image's /etc/group`},
		{"/bin/probe", "2147483648", "/", 125, "the number is too large, ids end at 2147483647"},
	} {
		spec := probe()
		spec.Process.Argv = strings.Fields(c.argv)
		spec.Process.User, spec.Process.Dir = c.user, c.dir
		exit := s.exited(s.ensure(spec))
		if exit.Code != c.code || exit.Signal != "" || !strings.Contains(exit.Reason, c.reason) || exit.Ran != 0 {
			t.Errorf("argv %q, user %q, dir %q: %+v, want code %d and %q", c.argv, c.user, c.dir, exit, c.code, c.reason)
		}
	}
}

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// writeLayerFile makes a file of a test's own layer.
func writeLayerFile(t *testing.T, layer, path, text string, mode os.FileMode) {
	t.Helper()
	path = filepath.Join(layer, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestExits(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	for _, c := range []struct {
		deed   string
		init   bool
		code   int
		signal string
	}{
		{"exit 0", false, 0, ""},
		{"exit 255", false, 255, ""},
		{"overrun", false, 137, "SIGKILL"},
		{"fault", false, 139, "SIGSEGV"},
		{"exit 0", true, 0, ""},
		{"exit 255", true, 255, ""},
		// An init ends as a shell would.
		{"kill 9", true, 137, ""},
		{"kill 15", true, 143, ""},
		{"kill 6", true, 134, ""},
		{"kill 36", true, 164, ""},
	} {
		spec := probe("print last words", c.deed)
		spec.Process.Init = c.init
		exit := s.exited(s.ensure(spec))
		if exit.Code != c.code || exit.Signal != c.signal || exit.OOM || exit.Reason != "" || exit.Tail != "last words\n" || exit.Ran <= 0 {
			t.Errorf("%s with init %v: %+v", c.deed, c.init, exit)
		}
	}
}

// TestView looks at the machine from inside.
func TestView(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	secret := filepath.Join(built.dir, "secret")
	if err := os.WriteFile(secret, []byte("of the host"), 0o644); err != nil {
		t.Fatal(err)
	}
	spec := probe("fds", "limits", "mounts", "list / /dev /root /proc/self/task/../../1/ns /sys/fs/cgroup",
		"read /etc/hosts /etc/hostname /etc/resolv.conf /proc/sys/kernel/ostype /dev/zero /proc/1/comm /srv/text "+secret,
		"write /srv/text mine", "read /srv/text", "write /dev/null x", "write /dev/shm/x y", "read /dev/shm/x", "write /dev/mine z")
	found := s.run(spec)
	hostname := spec.ID[:12]
	s.expect(found, map[string]string{
		"fd 0": "/dev/null", "fd 1": "pipe", "fd 2": "pipe",
		"/":                       "bin dev etc home proc srv sys",
		"/dev":                    "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero",
		"/etc/hosts":              strconv.Quote(embedded.StandardHosts + "127.0.0.1\t" + hostname + "\n"),
		"/etc/hostname":           strconv.Quote(hostname + "\n"),
		"/etc/resolv.conf":        `""`,
		"/proc/sys/kernel/ostype": `"Linux\n"`,
		"/proc/1/comm":            `"probe\n"`,
		secret:                    "ENOENT",
		"write /srv/text":         "ok",
		"write /dev/null":         "ok",
		"write /dev/shm/x":        "ok",
		"/dev/shm/x":              `"y"`,
		"write /dev/mine":         "ok",
		"/srv/text":               `"mine"`, // the second time it was read
		"core":                    "1 1",

		"mount /": "overlay rw", "mount /proc": "proc rw", "mount /sys": "sysfs ro", "mount /dev": "tmpfs rw",
		"mount /proc/sys": "proc ro", "mount /proc/irq": "proc ro",
	})
	for name, result := range found {
		if strings.HasPrefix(name, "fd ") && name > "fd 2" && !strings.HasPrefix(result, "anon_inode") && !strings.HasPrefix(result, "/proc/") && !strings.HasPrefix(result, "/sys/fs/cgroup/") {
			t.Errorf("%s is %s", name, result)
		}
		if strings.HasPrefix(name, "mount ") && strings.Contains(result, "ext4") {
			t.Errorf("%s shows a file system of the host: %s", name, result)
		}
	}
	if text, err := os.ReadFile(filepath.Join(built.layers, "accounts/srv/text")); string(text) != "shared\n" || err != nil {
		t.Errorf("an instance changed the layer to %q (%v)", text, err)
	}
	// The next instance of the image finds it as it was.
	s.expect(s.run(probe("read /srv/text /dev/shm/x")), map[string]string{"/srv/text": `"shared\n"`, "/dev/shm/x": "ENOENT"})
}

// TestAttacks tries what an escape would begin with, as root and as another
// user.
func TestAttacks(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	for _, c := range []struct {
		user string
		init bool
	}{{"", false}, {"web", false}, {"", true}, {"web", true}} {
		user := c.user
		spec := probe("attack", "print survived", "sleep")
		spec.Process.User, spec.Process.Init = user, c.init
		id := s.ensure(spec)
		s.prints(id, "survived")
		found := map[string]string{}
		for line := range strings.Lines(s.output(id, false)) {
			name, result, _ := strings.Cut(strings.TrimSpace(line), ": ")
			found[name] = result
		}
		if len(found) < 50 {
			t.Errorf("user %q tried only %d things", user, len(found))
		}
		for name, result := range found {
			switch {
			case !c.init && (name == "kill 1" || strings.HasPrefix(name, "open /proc/1/")): // that is the application itself
			case user == "" && (name == "kill 1" || name == "chroot" || name == "raw socket"):
				if result != "SUCCESS" {
					t.Errorf("user %q: %s: %s, which is harmless and allowed", user, name, result)
				}
			case strings.HasPrefix(name, "bytes of "):
				if result != "0" && result != "ENOENT" && result != "EACCES" {
					t.Errorf("user %q: %s: %s", user, name, result)
				}
			case strings.HasPrefix(result, "SUCCESS"):
				t.Errorf("user %q: %s succeeded", user, name)
			}
		}
		for _, name := range []string{"mount tmpfs", "unshare user", "clone user", "ptrace init", "load module", "keyctl", "bpf", "packet socket"} {
			if found[name] != "EPERM" {
				t.Errorf("user %q: %s: %q, want EPERM", user, name, found[name])
			}
		}
		if o := s.observe(id); !o.Running {
			t.Errorf("user %q ended it all: %+v", user, o.Exit)
		}
	}
}

// TestIDs checks, from outside, that instances have ids that no other has.
func TestIDs(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	seen := map[uint32]string{}
	for _, user := range []string{"", "web", ""} {
		spec := probe("write /file x", "print done", "sleep")
		spec.Process.User, spec.Process.Dir = user, "/tmp"
		if user == "web" {
			spec.Process.Argv[2] = "/home/web/file"
		}
		id := s.ensure(spec)
		s.prints(id, "done")
		var st unix.Stat_t
		if err := unix.Stat("/proc/"+strconv.Itoa(s.observe(id).PID), &st); err != nil {
			t.Fatal(err)
		}
		want := uint32(0)
		if user == "web" {
			want = 1000
		}
		if st.Uid < embedded.DefaultFirstID || st.Uid%65536 != want || seen[st.Uid/65536] != "" {
			t.Errorf("instance %s of user %q has the uid %d, others have %v", id, user, st.Uid, seen)
		}
		seen[st.Uid/65536] = id
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	spec := probe("listen [::1]:81 six", "listen 127.0.0.1:80 four", "connect 127.0.0.1:80", "connect 192.0.2.1:80", "print done", "sleep")
	spec.Process.User = "web" // and yet ports below 1024
	id := s.ensure(spec)
	s.prints(id, "done")
	s.expect(map[string]string{
		"four": s.prints(id, "connect 127.0.0.1:80"), "out": s.prints(id, "connect 192.0.2.1:80"),
	}, map[string]string{"four": "connect 127.0.0.1:80: ok", "out": "connect 192.0.2.1:80: ENETUNREACH"})
	for port, want := range map[int]string{80: "four", 81: "six"} {
		c, err := s.driver.Dial(t.Context(), id, port)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 10)
		n, err := c.Read(b)
		c.Close()
		if string(b[:n]) != want || err != nil {
			t.Errorf("port %d says %q, %v", port, b[:n], err)
		}
	}
	// What the host listens to is another's.
	other := s.ensure(probe("connect 127.0.0.1:80", "exit"))
	if line := s.prints(other, "connect"); line != "connect 127.0.0.1:80: ECONNREFUSED" {
		t.Error(line)
	}
	for _, port := range []int{0, -1, 65536} {
		if _, err := s.driver.Dial(t.Context(), id, port); err == nil {
			t.Errorf("dialled port %d", port)
		}
	}
}

// TestPeers checks that an application does not take the router for a client on its own
// machine, wherever it listens, and that it cannot pretend to be the router.
func TestPeers(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	id := s.ensure(probe(
		"peers 127.0.0.1:80", "peers [::1]:81", "peers :82", "peers 0.0.0.0:83", "print listening",
		"forge 169.254.172.1 127.0.0.1:80", "forge 169.254.172.1 127.0.0.1:80 freely", "connect 169.254.172.1:80", "print done", "sleep"))
	s.prints(id, "listening")
	four, six := "from 169.254.172.1, loopback false, ours false, <nil>\n", "from fd9b:7a1d:53c8::1, loopback false, ours false, <nil>\n"
	for port, want := range map[int]string{80: four, 81: six, 82: four, 83: four} {
		c, err := s.driver.Dial(t.Context(), id, port)
		if err != nil {
			t.Error(err)
			continue
		}
		if b, err := io.ReadAll(c); string(b) != want || err != nil {
			t.Errorf("the application at port %d says %q, %v, want %q", port, b, err, want)
		}
		c.Close()
	}
	s.prints(id, "done")
	for _, deed := range []string{"forge 169.254.172.1 127.0.0.1:80", "forge 169.254.172.1 127.0.0.1:80 freely"} {
		if line := s.prints(id, deed+":"); line == deed+": ok" {
			t.Error(line)
		}
	}
	// The address leads back to the instance, for it and for nobody else.
	if line := s.prints(id, "connect 169.254.172.1:80"); line == "connect 169.254.172.1:80: ok" {
		t.Error(line)
	}
	if err := embedded.AdmitPeers(s.driver, id); err != nil {
		t.Errorf("the second time: %v", err)
	}
}

// TestProcesses checks who reaps orphans, that what the application leaves running
// ends with it, and that signals do not disturb the shim.
func TestProcesses(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	spec := probe("orphans 20", "zombies", "exit")
	spec.Process.Init = true
	id := s.ensure(spec)
	if line := s.prints(id, "zombies"); line != "zombies: 0" {
		t.Error(line)
	}
	left := s.ensure(probe("children 3 sleep", "exit"))
	if exit := s.exited(left); exit.Code != 0 {
		t.Errorf("an application with children ended with %+v", exit)
	}

	id = s.ensure(probe("signals"))
	s.prints(id, "listening")
	// The shim ignores signals, also those that would end a Go program.
	parent := parentOf(t, s.observe(id).PID)
	for signal := unix.Signal(1); signal <= 64; signal++ {
		if signal == unix.SIGKILL || signal == unix.SIGSTOP {
			continue
		}
		if err := unix.Kill(parent, signal); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Kill(s.observe(id).PID, unix.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	s.prints(id, "signal 10")
	if err := s.driver.Stop(t.Context(), id, patience); err != nil {
		t.Fatal(err)
	}
	if exit := s.exited(id); exit.Code != 0 || !strings.HasSuffix(exit.Tail, "signal 15\n") {
		t.Errorf("an application asked to stop ended with %+v", exit)
	}
}

// parentOf returns a process's parent: of an application, its shim.
func parentOf(t testing.TB, pid int) int {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\nPPid:\t")
	line, _, _ := strings.Cut(rest, "\n")
	parent, err := strconv.Atoi(line)
	if err != nil || parent <= 1 {
		t.Fatalf("process %d has the parent %q", pid, line)
	}
	return parent
}

func TestStopSignals(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	for name, number := range map[string]string{"SIGQUIT": "3", "usr2": "12", "SIGRTMIN+3": "37", "10": "10", "SIGNONSENSE": "15"} {
		spec := probe("signals")
		spec.Process.StopSignal = name
		id := s.ensure(spec)
		s.prints(id, "listening")
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- s.driver.Remove(ctx, id, patience) }()
		if name != "SIGNONSENSE" {
			s.prints(id, "signal "+number)
		}
		cancel()
		<-result
	}
	spec := probe("signals")
	spec.Process.StopSignal = "SIGUSR1"
	id := s.ensure(spec)
	s.prints(id, "listening")
	if err := s.driver.Stop(t.Context(), id, 1); err != nil {
		t.Fatal(err)
	}
	if exit := s.exited(id); exit.Code != 137 || !strings.Contains(exit.Reason, "did not end within") {
		t.Errorf("an application that was killed ended with %+v", exit)
	}
}
