package life

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/e2e/harness"
)

// health waits until a page of the server answers with a status and a text that has all of
// these lines' beginnings.
func health(t *testing.T, s *harness.Server, page string, want int, lines ...string) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("%s answers %d %q", page, want, lines), func() (bool, string) {
		res, err := s.HTTPClient.Get(s.API + page)
		if err != nil {
			return false, err.Error()
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		ok := res.StatusCode == want && strings.Count(string(text), "\n") == len(lines)
		for _, l := range lines {
			ok = ok && strings.Contains("\n"+string(text), "\n"+l)
		}
		return ok, fmt.Sprintf("%d %q", res.StatusCode, text)
	})
}

// TestHealth takes a server its descriptors and its disk. It is no longer ready, says why,
// lives, and is ready again when it has them back.
func TestHealth(t *testing.T) {
	dir := harness.SmallDisk(t, 200<<20)
	s := harness.Serve(t, "--isolated", "--warm", "0")
	health(t, s, "/healthz", 200, "ok")
	health(t, s, "/readyz", 200, "ok")
	health(t, s, "/readyz?verbose", 200, "started: ok", "database: ok", "journal: ok", "writes: ok", "loops: ok", "routes: ok", "descriptors: ok", "ballast: ok", "disk: ok")

	var before unix.Rlimit
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.PID))
	if err != nil {
		t.Fatal(err)
	}
	few := unix.Rlimit{Cur: uint64(len(list) + 40)}
	if err := unix.Prlimit(s.PID, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		t.Fatal(err)
	}
	few.Max = before.Max
	if err := unix.Prlimit(s.PID, unix.RLIMIT_NOFILE, &few, nil); err != nil {
		t.Fatal(err)
	}
	health(t, s, "/readyz", 503, "descriptors: ")
	health(t, s, "/healthz", 200, "ok")
	if err := unix.Prlimit(s.PID, unix.RLIMIT_NOFILE, &before, nil); err != nil {
		t.Fatal(err)
	}
	health(t, s, "/readyz", 200, "ok")

	full := filepath.Join(dir, "full")
	f, err := os.Create(full)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for part := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(part)
	}
	for part := make([]byte, 1); err == nil; {
		_, err = f.Write(part)
	}
	health(t, s, "/readyz", 503, "disk: only the reserve", "ballast: ")
	health(t, s, "/healthz", 200, "ok")
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	f.Close()
	health(t, s, "/readyz", 200, "ok")
	for _, want := range []string{"check=descriptors", "check=disk", "check=ballast"} {
		if !strings.Contains(s.Output.String(), want) {
			t.Errorf("the log does not have %s", want)
		}
	}
}

// A server that may open few files says so, and clients can't take what it needs for itself.
func TestFewDescriptors(t *testing.T) {
	s := harness.Prepare(t, nil, "--api-addr", harness.FreeAddr(t), "--http-addr", harness.FreeAddr(t), "--warm", "0", "--isolated")
	limited := filepath.Join(t.TempDir(), "slipway")
	if err := os.WriteFile(limited, []byte("#!/bin/sh\nulimit -n 400\nexec '"+s.Binary+"' \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.Binary = limited
	s.Start()
	if log := s.Output.String(); !strings.Contains(log, "few files may be open at once") || !strings.Contains(log, "limit=400") {
		t.Errorf("the log is %s", log)
	}
	flood := func(addr string) (stop func()) {
		var open []net.Conn
		for range 600 {
			if c, err := net.Dial("tcp", addr); err == nil { // others are refused
				open = append(open, c)
			}
		}
		return func() {
			for _, c := range open {
				c.Close()
			}
		}
	}
	image := s.Push(harness.WebImage(t, "1"), "web:1")
	stop := flood(s.HostPort())
	svc := s.RunningService("shop", harness.Spec{Image: image})
	health(t, s, "/readyz", 200, "ok")
	stop()
	harness.Eventually(t, "the server has seen that the clients left", func() (bool, string) {
		_, err := s.Ask(svc, "/")
		return err == nil, fmt.Sprint(err)
	})
	stop = flood(strings.TrimPrefix(s.API, "http://"))
	s.AskMany(svc, 20, "")
	stop()
	health(t, s, "/readyz", 200, "ok")
}
