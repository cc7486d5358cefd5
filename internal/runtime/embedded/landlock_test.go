package embedded_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/runtime/embedded"
)

// TestLeakedDescriptors hands descriptors of a directory and of a socket of the host to an
// instance, to one with an init, and to a job. None of them opens a thing with the former,
// or reaches an abstract socket of the host with the latter. The control is a driver
// without Landlock, where all of it works.
func TestLeakedDescriptors(t *testing.T) {
	t.Parallel()
	needLandlock(t, 6)
	for _, kind := range []string{"instance", "init", "job"} {
		for _, confined := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, confined %t", kind, confined), func(t *testing.T) {
				t.Parallel()
				s := newFixture(t)
				want := map[string]string{
					"stat beneath": "ok", // Landlock has no right for this, docs/security.md says so
					"read beneath": "EACCES", "read by /proc": "EACCES", "write beneath": "EACCES", "truncate by /proc": "EACCES",
					"execute beneath": "EACCES", "make beneath": "EACCES", "list": "EACCES", "read above": "EACCES",
					"remove beneath": "EACCES", "read from there": "EACCES", "read after chroot": "EACCES", "connect outside": "EPERM",
				}
				if !confined {
					embedded.WithoutLandlock(s.driver)
					for name := range want {
						want[name] = "ok"
					}
				}
				s.expect(s.leak(kind), want)
			})
		}
	}
}

// leak has an instance or a job receive descriptors of the host, and returns what it found.
func (s *fixture) leak(kind string) map[string]string {
	s.Helper()
	path := "/leak-" + slipway.NewID()
	deeds := []string{"leaked " + path}
	ended := make(chan map[string]string, 1)
	if kind == "job" {
		go func() {
			var out strings.Builder
			if _, err := s.driver.RunJob(s.Context(), job(deeds...), func(c runtime.Chunk) { out.Write(c.Data) }); err != nil {
				s.Error(err)
			}
			ended <- findings(out.String())
		}()
	} else {
		spec := probe(deeds...)
		spec.Process.Init = kind == "init"
		id := s.ensure(spec)
		go func() {
			s.exited(id)
			ended <- findings(s.output(id, false))
		}()
	}
	var at string
	eventually(s, "it waits for descriptors", func() error {
		// A process whose root directory has the socket is one of the sandbox.
		found, err := filepath.Glob("/proc/[0-9]*/root" + path)
		if err != nil || len(found) == 0 {
			return fmt.Errorf("no process has %s (%v)", path, err)
		}
		at = found[0]
		return nil
	})
	send(s.T, at)
	return <-ended
}

// send sends descriptors of a directory and of a socket of the host.
func send(t *testing.T, path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "leaked-*") // t.TempDir's parent is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	writeLayerFile(t, dir, "secret", "of the host", 0o666)
	writeLayerFile(t, dir, "removed", "", 0o666)
	program, err := os.ReadFile(filepath.Join(built.probe, "bin/probe"))
	if err != nil {
		t.Fatal(err)
	}
	writeLayerFile(t, dir, "program", string(program), 0o755)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	name := "slipway-" + slipway.NewID()
	l, err := net.Listen("unix", "@"+name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	at, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(at)
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(sock)
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, _, err := c.WriteMsgUnix([]byte(name), unix.UnixRights(at, sock), nil); err != nil {
		t.Fatal(err)
	}
}

// findings reads lines "name: result".
func findings(out string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(out) {
		name, result, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		found[name] = result
	}
	return found
}

// TestOwnFiles does what Landlock must not break, with it and without.
func TestOwnFiles(t *testing.T) {
	t.Parallel()
	for _, init := range []bool{false, true} {
		for _, confined := range []bool{true, false} {
			s := newFixture(t)
			if !confined {
				embedded.WithoutLandlock(s.driver)
			}
			spec := probe("own")
			spec.Process.Init = init
			want := map[string]string{"environ of 1": "ok"}
			if init {
				want["environ of 1"] = "EACCES" // an init cannot be looked into
			}
			for _, name := range []string{
				"make", "rename across", "link across", "rename into an image's directory", "truncate", "remove", "reopen what is removed",
				"reopen a memfd", "reopen stdin", "reopen stdout", "fifo", "namespace", "terminal", "shared memory", "signal 0 to 1", "abstract socket",
			} {
				want[name] = "ok"
			}
			s.expect(s.run(spec), want)
		}
	}
}

// TestLandlockVersions: rights and scopes are those that a kernel knows.
func TestLandlockVersions(t *testing.T) {
	t.Parallel()
	const first = 1<<13 - 1
	for abi, want := range [][2]uint64{
		0: {0, 0},
		1: {0, 0}, // no file could be renamed from one directory to another
		2: {first | unix.LANDLOCK_ACCESS_FS_REFER, 0},
		3: {first | unix.LANDLOCK_ACCESS_FS_REFER | unix.LANDLOCK_ACCESS_FS_TRUNCATE, 0},
		4: {first | unix.LANDLOCK_ACCESS_FS_REFER | unix.LANDLOCK_ACCESS_FS_TRUNCATE, 0},
		5: {1<<16 - 1, 0},
		6: {1<<16 - 1, 3},
		9: {1<<16 - 1, 3},
	} {
		if abi > 6 && want == [2]uint64{} {
			continue
		}
		if access, scopes := embedded.Landlock(abi); access != want[0] || scopes != want[1] {
			t.Errorf("version %d: rights %#x, scopes %#x, want %#x", abi, access, scopes, want)
		}
	}
}

func needLandlock(t *testing.T, abi int) {
	t.Helper()
	needRoot(t)
	if have := embedded.LandlockABI(); have < abi {
		t.Skipf("this kernel has version %d of Landlock, 0 for none: needs %d", have, abi)
	}
}
