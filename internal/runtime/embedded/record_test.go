package embedded_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDamagedRecord damages what a driver has written down of an instance that runs. The
// next driver ends nobody: it knows the instance from the copy and from its processes, or
// leaves it alone. The one after that finds everything whole.
func TestDamagedRecord(t *testing.T) {
	needRoot(t)
	cut := func(names ...string) func(string) error {
		return func(dir string) (err error) {
			for _, name := range names {
				info, e := os.Stat(filepath.Join(dir, name))
				if e != nil {
					return e
				}
				err = errors.Join(err, os.Truncate(filepath.Join(dir, name), info.Size()/2))
			}
			return err
		}
	}
	remove := func(names ...string) func(string) error {
		return func(dir string) (err error) {
			for _, name := range names {
				err = errors.Join(err, os.Remove(filepath.Join(dir, name)))
			}
			return err
		}
	}
	write := func(name, text string) func(string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600) }
	}
	for _, c := range []struct {
		name    string
		damage  func(dir string) error
		unknown bool // nothing says whose it is
	}{
		{"specification cut", cut("spec.json"), false},
		{"specification empty", write("spec.json", ""), false},
		{"specification of another sandbox", write("spec.json", `{"sandbox":"00099-aaaaaaaa","service":"other"}`), false},
		{"specification removed", remove("spec.json"), false},
		{"specification a directory", func(dir string) error {
			path := filepath.Join(dir, "spec.json")
			return errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "x"), 0o700))
		}, false},
		{"copy cut", cut("spec.copy"), false},
		{"copy removed", remove("spec.copy"), false},
		{"both cut", cut("spec.json", "spec.copy"), true},
		{"both removed", remove("spec.json", "spec.copy"), true},
		{"status cut", func(dir string) error { return os.Truncate(filepath.Join(dir, "status"), 20) }, false},
		{"status empty", write("status", ""), false},
		{"status removed", remove("status"), false},
		{"all three", func(dir string) error {
			return errors.Join(write("status", "")(dir), cut("spec.json", "spec.copy")(dir))
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t)
			cfg.Pool = -1
			d, drop := openUntil(t, cfg)
			s := &fixture{t, d}
			want := probe("print hello", "signals")
			want.Run = 3
			id, other := s.ensure(want), s.ensure(probe("print hello", "signals"))
			s.prints(id, "listening")
			s.prints(other, "listening")
			pid := s.observe(id).PID
			drop()
			if err := c.damage(filepath.Join(cfg.Dir, "instances", id)); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				s.driver, drop = openUntil(t, cfg)
				o := s.observe(id)
				if o == nil || !o.Running || o.PID != pid {
					t.Fatalf("the instance is %+v, want process %d", o, pid)
				}
				if whole := o.Service == "service" && o.Release == "release" && o.Run == 3; whole == c.unknown {
					t.Errorf("the instance is %+v", o)
				}
				if o := s.observe(other); o == nil || !o.Running {
					t.Errorf("the other instance is %+v", o)
				}
				if err := unix.Kill(pid, unix.SIGUSR1); err != nil {
					t.Error(err)
				}
				s.prints(id, fmt.Sprint("signal ", int(unix.SIGUSR1)))
				drop()
			}
			s.driver, drop = openUntil(t, cfg)
			s.clear()
			drop()
			nothingLeft(t, cfg.Dir)
		})
	}
}
