package daemon

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
	if os.Geteuid() != 0 {
		t.Skip("the server needs root")
	}
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
			change    func(*Config)
			want      string
		}{
			{"API's port taken", "api", func(c *Config) { c.APIAddr = taken.Addr().String() }, "listen at --api-addr: "},
			{"services' port taken", "http", func(c *Config) { c.HTTPAddr = taken.Addr().String() }, "listen at --http-addr: "},
			{"directory in use", "held", nil, "another server is running on "},
			{"odd alias", "alias", func(c *Config) { c.Aliases = []string{"x"} }, "--alias"},
		} {
			conf := Default()
			conf.DataDir, conf.APIAddr, conf.HTTPAddr = filepath.Join(dir, c.dir), "127.0.0.1:0", "127.0.0.1:0"
			if c.change != nil {
				c.change(&conf)
			}
			s, err := New(t.Context(), conf, slog.New(slog.DiscardHandler))
			if err == nil {
				s.Close()
				t.Errorf("%s: it starts", c.name)
			} else if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q in it", c.name, err, c.want)
			}
		}
	}
}
