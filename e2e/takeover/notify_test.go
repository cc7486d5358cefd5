package takeover

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/e2e/harness"
)

// manager is a service manager that processes notify, as systemd with Type=notify.
type manager struct {
	t    *testing.T
	sock *net.UnixConn
	path string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	m := &manager{t: t, path: filepath.Join(t.TempDir(), "notify")}
	var err error
	if m.sock, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.sock.Close() })
	raw, err := m.sock.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// hears returns the next message, with the process that it came from. "" is that there is
// none by the deadline.
func (m *manager) hears(deadline time.Time) string {
	m.t.Helper()
	text, control := make([]byte, 200), make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	m.sock.SetReadDeadline(deadline)
	n, k, _, _, err := m.sock.ReadMsgUnix(text, control)
	if os.IsTimeout(err) {
		return ""
	}
	if err != nil {
		m.t.Fatal(err)
	}
	list, err := unix.ParseSocketControlMessage(control[:k])
	if err != nil || len(list) != 1 {
		m.t.Fatalf("%d control messages, %v", len(list), err)
	}
	from, err := unix.ParseUnixCredentials(&list[0])
	if err != nil {
		m.t.Fatal(err)
	}
	return fmt.Sprintf("%d: %s", from.Pid, text[:n])
}

// hearsAll fails unless these messages are the next, in any order.
func (m *manager) hearsAll(when string, want ...string) {
	m.t.Helper()
	left := map[string]bool{}
	for _, w := range want {
		left[w] = true
	}
	for range want {
		got := m.hears(time.Now().Add(harness.Timeout))
		if !left[got] {
			m.t.Fatalf("%s the service manager hears %q, want one of %v", when, got, left)
		}
		delete(left, got)
	}
}

// hearsNothing fails if a process has said something.
func (m *manager) hearsNothing(when string) {
	m.t.Helper()
	if got := m.hears(time.Now()); got != "" {
		m.t.Errorf("%s the service manager hears %q", when, got)
	}
}

// TestServiceManager has a service manager listen that watches the main process, as systemd.
// It hears which process that is after an upgrade, from the former one, and nothing of
// attempts that fail: one before the heir has the data directory, one after, and one whose
// heir is killed. What it hears of the end is from the process that ends.
func TestServiceManager(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	s := harness.Prepare(t, nil, "--api-addr", harness.FreeAddr(t), "--http-addr", harness.FreeAddr(t))
	s.Env = append(os.Environ(), "NOTIFY_SOCKET="+m.path)
	s.Start()
	said := func(pid int, format string, args ...any) string {
		return fmt.Sprintf("%d: %s", pid, fmt.Sprintf(format, args...))
	}
	m.hearsAll("at the start", said(s.PID, "READY=1"))
	for n := range 2 {
		former := s.PID
		if out, err := s.Upgrade(); err != nil {
			t.Fatalf("upgrade: %v: %s", err, out)
		}
		m.hearsAll(fmt.Sprintf("with upgrade %d", n+1), said(former, "MAINPID=%d", s.PID), said(s.PID, "READY=1"))
		s.AwaitFormers()
		m.hearsNothing("at the end of the former server")
	}
	for _, setting := range []string{"SLIPWAY_ACCOUNT=1", "SLIPWAY_ALIAS=x"} {
		if out, err := s.TryUpgrade(append(os.Environ(), setting), "--environment"); err == nil {
			t.Fatalf("an upgrade with %s succeeds: %s", setting, out)
		}
		m.hearsNothing("after an upgrade with " + setting)
	}
	elder := s.PID
	s.TakeOver()
	harness.Eventually(t, "the heir takes over", func() (bool, string) {
		return s.Output.Contains(fmt.Sprintf("%q pid=%d", "another server takes over", s.LastPID())), ""
	})
	s.Kill()
	s.GiveBack()
	s.MustSlipway(t, "ls") // calls are answered again
	if out, err := s.Upgrade(); err != nil {
		t.Fatalf("upgrade: %v: %s", err, out)
	}
	m.hearsAll("with an upgrade after a heir that was killed", said(elder, "MAINPID=%d", s.PID), said(s.PID, "READY=1"))
	s.AwaitFormers()
	s.Stop()
	m.hearsAll("at the end", said(s.PID, "STOPPING=1"))
	m.hearsNothing("after the end")
}
