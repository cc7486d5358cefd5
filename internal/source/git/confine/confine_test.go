package confine_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/source/git/confine"
)

func TestMain(m *testing.M) {
	if confine.Wanted(os.Args) {
		confine.Main()
	}
	os.Exit(m.Run())
}

const user = 1<<30 - 2

// shell runs a script confined and returns its output.
func shell(t *testing.T, script string, change func(*confine.Command)) (string, error) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("confining a program takes root here")
	}
	dir, err := os.MkdirTemp("", "confine-test-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, d := range []string{"root", "work", "home"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(filepath.Join(dir, "work"), user, user); err != nil {
		t.Fatal(err)
	}
	var out, messages bytes.Buffer
	c := confine.Command{
		Program: "/bin/sh", Args: []string{"-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/work", Root: filepath.Join(dir, "root"), User: user,
		Binds:  []confine.Bind{{Source: filepath.Join(dir, "work"), Target: "/work", Write: true}, {Source: filepath.Join(dir, "home"), Target: "/home"}},
		Stdout: &out, Stderr: &messages,
	}
	if change != nil {
		change(&c)
	}
	err = c.Run(t.Context())
	return out.String() + messages.String(), err
}

func TestView(t *testing.T) {
	t.Parallel()
	var top []string // with those of the machine's libraries that it has
	for _, name := range []string{"bin", "dev", "etc", "home", "lib", "lib32", "lib64", "sbin", "usr", "work"} {
		if _, err := os.Lstat("/" + name); err == nil || !strings.HasPrefix(name, "lib") {
			top = append(top, name)
		}
	}
	for script, want := range map[string]string{
		"echo *; cd /; echo *":                                                  "*\n" + strings.Join(top, " ") + "\n",
		"env | sort | grep -v -e ^PWD -e ^_":                                    "PATH=/usr/bin:/bin\n",
		"echo $$; id -u; id -G":                                                 "1\n1073741822\n1073741822\n",
		"cat /etc/shadow /etc/hostname /proc/version":                           "",
		"touch /x /home/x /usr/x /dev/x || true; ls /home; echo > y && echo ok": "ok\n",
		"ls /proc /sys /root /var /run":                                         "",
		"mknod n c 1 3; mount -t tmpfs x /work; chroot / true":                  "",
		"unshare -U true; unshare -m true":                                      "",
		"exec 9<>/dev/tcp/127.0.0.1/1080 || true; cat <&3; cat <&4":             "",
	} {
		out, err := shell(t, script, func(c *confine.Command) { c.Stderr = nil })
		if out != want {
			t.Errorf("%s: output %q, %v, want %q", script, out, err, want)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	out, err := shell(t, "dd if=/dev/zero of=big bs=1M count=4; ulimit -c; ulimit -n", func(c *confine.Command) {
		c.Limits = confine.Limits{FileSize: 1 << 20, Files: 64, Memory: 1 << 30, Processes: 64}
	})
	if err != nil || !strings.Contains(out, "File too large") && !strings.Contains(out, "File size limit") || !strings.Contains(out, "0\n64\n") {
		t.Errorf("output %q, %v", out, err)
	}
}

func TestExit(t *testing.T) {
	t.Parallel()
	_, err := shell(t, "exit 7", nil)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("error %v", err)
	}
	_, err = shell(t, "", func(c *confine.Command) { c.Program = "/usr/bin/no-such-program" })
	if err == nil || errors.As(err, &exit) || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("error %v", err)
	}
}

// TestKill ends a run: the processes that left their parent die, too.
func TestKill(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ready := bufio.NewReader(r)
	go func() {
		_, _ = ready.ReadString('\n')
		cancel()
	}()
	done := make(chan error, 1)
	_, _ = shell(t, "", func(c *confine.Command) {
		own := *c
		own.Args = []string{"-c", "setsid sleep 1000 & setsid sleep 1000 & echo x; wait"}
		own.Stdout = w
		done <- own.Run(ctx)
	})
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	w.Close()
	// The pipe has ended: nobody has it open any more.
	if n, err := io.Copy(io.Discard, r); n != 0 || err != nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

// TestOutput ends a program that ignores that nobody reads what it writes.
func TestOutput(t *testing.T) {
	t.Parallel()
	enough := errors.New("enough")
	_, err := shell(t, "while :; do echo x; done", func(c *confine.Command) { c.Stdout = failing{enough} })
	if !errors.Is(err, enough) {
		t.Errorf("error %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestServe(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("bash is not installed")
	}
	out, err := shell(t, "exec 9<>/dev/tcp/127.0.0.1/1080; cat <&9", func(c *confine.Command) {
		c.Program = "/bin/bash"
		c.Serve = func(l net.Listener) {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("hello"))
			conn.Close()
		}
	})
	if err != nil || out != "hello" {
		t.Errorf("output %q, %v", out, err)
	}
}
