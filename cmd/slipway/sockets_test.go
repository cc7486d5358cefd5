//go:build linux

package main

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The variables are read as sd_listen_fds_with_names(3) says.
func TestSocketNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, pid, fds, names string
		want                  []string
		err                   string
	}{
		{"none", "", "", "", nil, ""},
		{"of the parent", "6", "2", "http:api", nil, ""},
		{"named", "7", "2", "http:api", []string{"http", "api"}, ""},
		{"two of a name", "7", "3", "http:http:vpce-1", []string{"http", "http", "vpce-1"}, ""},
		{"without names", "7", "1", "", []string{"unknown"}, ""},
		{"with one name", "7", "2", "http", []string{"http", "unknown"}, ""},
		{"no sockets", "7", "0", "", nil, ""},
		{"too many names", "7", "1", "http:api", nil, "one name for each"},
		{"no number", "7", "x", "http", nil, "LISTEN_FDS is"},
		{"negative", "7", "-1", "http", nil, "LISTEN_FDS is"},
		{"huge", "7", "1000000000", "", nil, "0 to 1024"},
	} {
		got, err := socketNames(c.pid, c.fds, c.names, 7)
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// Only listening TCP sockets are taken.
func TestCheckSocket(t *testing.T) {
	t.Parallel()
	type filer interface{ File() (*os.File, error) }
	check := func(x any) string {
		f, err := x.(filer).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := checkSocket(int(f.Fd())); err != nil {
			return err.Error()
		}
		return ""
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := check(l); got != "" {
		t.Errorf("a listener: %s", got)
	}
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := check(conn); !strings.Contains(got, "Accept=no") {
		t.Errorf("a connection: %q", got)
	}
	local, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	if got := check(local); !strings.Contains(got, "ListenStream=") {
		t.Errorf("a local socket: %q", got)
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := checkSocket(int(f.Fd())); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("a file: %v", err)
	}
}
