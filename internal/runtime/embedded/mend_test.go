package embedded_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded"
)

// evict moves the processes of a group to the top of each hierarchy, and removes the group,
// as cgdelete does. Hierarchies in which it is not are passed over.
func evict(t *testing.T, dir, sandbox string) {
	t.Helper()
	for _, procs := range groupFiles(t, dir, sandbox, "cgroup.procs") {
		group := filepath.Dir(procs)
		eventually(t, "the group is empty", func() error {
			b, err := os.ReadFile(procs)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			for _, pid := range strings.Fields(string(b)) {
				err = errors.Join(err, os.WriteFile(filepath.Join(group, "../../cgroup.procs"), []byte(pid), 0))
			}
			return errors.Join(err, os.Remove(group))
		})
	}
}

// groupFiles returns the files of this name in a sandbox's group, of each hierarchy.
func groupFiles(t *testing.T, dir, sandbox, name string) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		list, err := filepath.Glob(filepath.Join(pattern, embedded.SliceName(dir), sandbox, name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, list...)
	}
	return all
}

// TestRemovedAhead takes something from the sandboxes that were made ahead of time, and from
// what all have. The next start and the next job work, and the pool is full again.
func TestRemovedAhead(t *testing.T) {
	needRoot(t)
	for name, remove := range map[string]func(t *testing.T, dir, sandbox string) error{
		"its control group": func(t *testing.T, dir, sandbox string) error { evict(t, dir, sandbox); return nil },
		"its directory": func(_ *testing.T, dir, sandbox string) error {
			return os.RemoveAll(filepath.Join(dir, "blank", sandbox))
		},
		"the directory of blank ones": func(_ *testing.T, dir, _ string) error { return os.RemoveAll(filepath.Join(dir, "blank")) },
		"all empty directories": func(_ *testing.T, dir, _ string) error {
			for _, d := range []string{"trash", "jobs", "instances", "disks", "mount"} {
				if err := os.Remove(filepath.Join(dir, d)); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) {
					return err
				}
			}
			return nil
		},
		"the frozen group": func(t *testing.T, dir, _ string) error {
			for _, g := range groupFiles(t, dir, "frozen", "") {
				if err := os.Remove(g); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t)
			d, drop := openUntil(t, cfg)
			s := &fixture{t, d}
			s.remove(s.ensure(probe("print hello", "signals")))
			sandbox := s.prepared(imageProbe, 1)[0]
			if err := remove(t, cfg.Dir, sandbox); err != nil {
				t.Fatal(err)
			}
			id := s.ensure(probe("print hello", "signals"))
			s.prints(id, "listening")
			if got := embedded.SandboxOf(d, id); got == sandbox && (name == "its control group" || strings.Contains(name, "direct") && !strings.Contains(name, "empty")) {
				t.Errorf("the instance is in sandbox %s, from which something was taken", got)
			}
			for _, group := range groupFiles(t, cfg.Dir, embedded.SandboxOf(d, id), "memory.limit_in_bytes") {
				if b, err := os.ReadFile(group); err != nil || len(strings.TrimSpace(string(b))) > 12 {
					t.Errorf("the limit of its memory is %q, %v", b, err)
				}
			}
			s.remove(id)
			s.prepared(imageProbe, 1)
			s.clear()
			drop()
			nothingLeft(t, cfg.Dir)
		})
	}
}

// TestSliceRemoved removes the group of all sandboxes while there is none.
func TestSliceRemoved(t *testing.T) {
	needRoot(t)
	t.Parallel()
	cfg := config(t)
	cfg.Pool = -1
	d, _ := open(t, cfg)
	s := &fixture{t, d}
	for range 2 {
		for _, group := range append(groupFiles(t, cfg.Dir, "frozen", ""), groupFiles(t, cfg.Dir, "", "")...) {
			if err := os.Remove(group); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EBUSY) { // busy: one in it is back already
				t.Fatal(err)
			}
		}
		id := s.ensure(probe("print hello", "signals"))
		s.prints(id, "listening")
		s.remove(id)
		eventually(t, "no group is left", func() error {
			if list := groupNames(t, cfg.Dir); len(list) > 0 {
				return fmt.Errorf("groups %v", list)
			}
			return nil
		})
	}
}

// TestRemovedLive takes from a live instance what it cannot be without: it ends, with the
// reason, whether its driver runs or comes later. Others go on.
func TestRemovedLive(t *testing.T) {
	needRoot(t)
	for _, c := range []struct {
		name   string
		remove func(t *testing.T, dir, id, sandbox string)
		reason string
	}{
		{"its control group", func(t *testing.T, dir, _, sandbox string) { evict(t, dir, sandbox) }, "its control group was removed"},
		{"its directory", func(t *testing.T, dir, id, _ string) {
			if err := os.RemoveAll(filepath.Join(dir, "instances", id)); err != nil {
				t.Fatal(err)
			}
		}, "its directory was removed"},
	} {
		for _, late := range []bool{false, true} {
			t.Run(c.name+" late "+strconv.FormatBool(late), func(t *testing.T) {
				t.Parallel()
				cfg := config(t)
				d, drop := openUntil(t, cfg)
				s := &fixture{t, d}
				id, other := s.ensure(probe("print hello", "signals")), s.ensure(probe("print hello", "signals"))
				s.prints(id, "listening")
				s.prints(other, "listening")
				sandbox, pid := embedded.SandboxOf(d, id), s.observe(id).PID
				if late {
					drop()
				}
				c.remove(t, cfg.Dir, id, sandbox)
				if late {
					s.driver, drop = openUntil(t, cfg)
				} else if exit := s.exited(id); !strings.Contains(exit.Reason, c.reason) {
					t.Errorf("it ended with the reason %q, want %q", exit.Reason, c.reason)
				}
				eventually(t, "its process is gone", func() error {
					if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err == nil && !isZombie(pid) {
						return fmt.Errorf("process %d lives", pid)
					}
					return nil
				})
				if o := s.observe(other); o == nil || !o.Running {
					t.Errorf("the other instance is %+v", o)
				}
				s.clear()
				drop()
				nothingLeft(t, cfg.Dir)
			})
		}
	}
}
