package embedded_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded"
)

// A driver that cannot read what an earlier one left ends with the error. It removes
// nothing: the next driver finds the instances as they were.
func TestUnreadable(t *testing.T) {
	needRoot(t)
	t.Parallel()
	cfg := config(t)
	cfg.Pool = -1
	d, drop := openUntil(t, cfg)
	s := &fixture{t, d}
	id := s.ensure(probe("print hello", "signals"))
	other := s.ensure(probe("print hello", "signals"))
	s.prints(id, "listening")
	s.prints(other, "listening")
	pid := s.observe(id).PID
	drop()

	dir := filepath.Join(cfg.Dir, "instances")
	for _, c := range []struct {
		name, path, to string
		want           error
	}{
		{"the specification of an instance", filepath.Join(dir, id, "spec.json"), "/proc/self/mem", unix.EIO},
		{"the status of an instance", filepath.Join(dir, id, "status"), "/proc/self/mem", unix.EIO},
		{"the directory of instances", dir, "/proc/self/status", unix.ENOTDIR},
	} {
		if err := errors.Join(os.Rename(c.path, c.path+".kept"), os.Symlink(c.to, c.path)); err != nil {
			t.Fatal(err)
		}
		d, err := embedded.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		result := make(chan error, 1)
		go func() { result <- d.Run(ctx) }()
		if list, err := d.List(t.Context()); err == nil {
			t.Errorf("%s: the driver serves, and knows %d instances", c.name, len(list))
			cancel()
		}
		if err := <-result; !errors.Is(err, c.want) {
			t.Errorf("%s: Run returned %v, want %v", c.name, err, c.want)
		} else if c.path != dir && !strings.Contains(err.Error(), id) {
			t.Errorf("%s: %q does not name the instance", c.name, err)
		}
		if err := errors.Join(os.Remove(c.path), os.Rename(c.path+".kept", c.path)); err != nil {
			t.Fatal(err)
		}
	}

	d, drop = openUntil(t, cfg)
	s.driver = d
	if o := s.observe(id); o == nil || !o.Running || o.PID != pid {
		t.Errorf("afterwards the instance is %+v, want process %d", o, pid)
	}
	if o := s.observe(other); o == nil || !o.Running {
		t.Errorf("afterwards the other instance is %+v", o)
	}
	s.clear()
	drop()
	nothingLeft(t, cfg.Dir)
}
