package main

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A server that can't start says why and leaves its directory to the next.
func TestServerThatCannotStart(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	inUse := dirs(filepath.Join(dir, "held"))
	if err := inUse.make(); err != nil {
		t.Fatal(err)
	}
	unlock, err := lockDir(inUse)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	for range 2 { // the second finds nothing of the first in its way
		for _, c := range []struct {
			name, dir string
			change    func(*serveConfig)
			want      string
		}{
			{"API's port taken", "api", func(c *serveConfig) { c.APIAddr = taken.Addr().String() }, "listen at --api-addr: "},
			{"services' port taken", "http", func(c *serveConfig) { c.HTTPAddr = taken.Addr().String() }, "listen at --http-addr: "},
			{"directory in use", "held", nil, "another server is running on "},
			{"odd alias", "alias", func(c *serveConfig) { c.Aliases = []string{"x"} }, "--alias"},
		} {
			conf := defaultServe()
			conf.DataDir, conf.APIAddr, conf.HTTPAddr = filepath.Join(dir, c.dir), "127.0.0.1:0", "127.0.0.1:0"
			if c.change != nil {
				c.change(&conf)
			}
			s, err := newServer(t.Context(), conf, slog.New(slog.DiscardHandler))
			if err == nil {
				s.close()
				t.Errorf("%s: it starts", c.name)
			} else if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q in it", c.name, err, c.want)
			}
		}
	}
}

// What kept the server from serving is said as it is, not as if one had been
// looked for.
func TestServeSaysWhyNot(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	serve := func(t *testing.T, dir, addr string) string {
		t.Helper()
		code, _, stderr := newSession(t).quietly(t.Context(), "serve",
			"--data-dir", dir, "--api-addr", addr, "--http-addr", "127.0.0.1:0", "--isolated", "--warm", "0")
		if code != exitFailed || strings.Contains(stderr, "no server answers") {
			t.Errorf("exit code %d and %q", code, stderr)
		}
		return stderr
	}
	if got := serve(t, t.TempDir(), taken.Addr().String()); !strings.Contains(got, "listen at --api-addr") || !strings.Contains(got, "address already in use") {
		t.Errorf("a port in use: %q", got)
	}
	if os.Geteuid() != 0 {
		t.Skip("the embedded runtime needs root")
	}
	dir := dirs(t.TempDir())
	if err := os.MkdirAll(filepath.Join(dir.instances(), "lock"), 0o700); err != nil { // where a file is to be
		t.Fatal(err)
	}
	if got := serve(t, string(dir), "127.0.0.1:0"); !strings.Contains(got, "lock the embedded runtime's directory") {
		t.Errorf("a part that fails: %q", got)
	}
}
