package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoFreezer says that the machine's groups cannot be frozen.
var ErrNoFreezer = errors.New("this machine can freeze no processes: it has neither cgroup version 2 for them nor the freezer of version 1")

// freezeTime is how long the kernel may take until all processes of a group have stopped.
// A process in an uninterruptible wait, as for a disk, stops only after that.
const freezeTime = 2 * time.Second

// Freeze stops all processes of the group where they are: they keep memory, sockets and
// open files, and get no processor time until Thaw. It returns when the kernel says that
// all have stopped. If ctx ends before that, or the kernel takes too long, they run on and
// it fails.
func (g Group) Freeze(ctx context.Context) error {
	if err := g.setFrozen(true); err != nil {
		return err
	}
	if err := g.awaitFrozen(ctx); err != nil {
		return errors.Join(err, g.Thaw())
	}
	return nil
}

func (g Group) awaitFrozen(ctx context.Context) error {
	limit := time.NewTimer(freezeTime)
	defer limit.Stop()
	for pause := 50 * time.Microsecond; ; pause = min(2*pause, 20*time.Millisecond) {
		frozen, err := g.allFrozen()
		if frozen || err != nil {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-limit.C:
			return fmt.Errorf("the processes of %s did not stop within %v", g.name, freezeTime)
		}
	}
}

// Thaw lets the processes of the group go on. It does nothing to a group that is not
// frozen, or does not exist.
func (g Group) Thaw() error {
	err := g.setFrozen(false)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

func (g Group) setFrozen(on bool) error {
	t, ok := g.freezer()
	switch {
	case !ok && !on:
		return nil
	case !ok:
		return ErrNoFreezer
	case t.unified && on:
		return write(g.path(t, "cgroup.freeze"), "1")
	case t.unified:
		return write(g.path(t, "cgroup.freeze"), "0")
	case on:
		return write(g.path(t, "freezer.state"), "FROZEN")
	}
	return write(g.path(t, "freezer.state"), "THAWED")
}

// Frozen reports whether the group is to be frozen, whether or not all of its processes have
// stopped yet: a daemon may have died while it froze them. A group that does not exist is
// not.
func (g Group) Frozen() (bool, error) {
	t, ok := g.freezer()
	if !ok {
		return false, nil
	}
	file, want := "freezer.self_freezing", "1"
	if t.unified {
		file = "cgroup.freeze"
	}
	b, err := os.ReadFile(g.path(t, file))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return false, nil
	}
	return strings.TrimSpace(string(b)) == want, err
}

// allFrozen reports whether all processes of the group have stopped.
func (g Group) allFrozen() (bool, error) {
	t, ok := g.freezer()
	if !ok {
		return false, nil
	}
	if t.unified {
		n, err := keyed(g.path(t, "cgroup.events"), "frozen")
		return n == 1, err
	}
	b, err := os.ReadFile(g.path(t, "freezer.state"))
	return strings.TrimSpace(string(b)) == "FROZEN", err
}

// heldGroup is a group without processes that is frozen as long as the slice is in use.
const heldGroup = "frozen"

// IsHeld reports whether a group is the one that is frozen as long as the slice is in use.
func IsHeld(name string) bool { return name == heldGroup }

// holdFreezer keeps a group of the slice frozen, if groups are frozen by version 1. There the
// kernel rewrites its own code, on all processors, when the first group of the machine is
// frozen and when the last is thawed (a static key, kernel/cgroup/legacy_freezer.c), and who
// thaws a group waits for it: 5 ms of the 6 that waking a service takes. Nothing but time is
// lost if that fails.
func (s *Slice) holdFreezer() {
	held := Group{s, heldGroup}
	if t, ok := held.freezer(); ok && !t.unified {
		if err := os.Mkdir(held.path(t, ""), 0o755); err == nil || errors.Is(err, fs.ErrExist) {
			_ = held.setFrozen(true)
		}
	}
}

// releaseFreezer undoes holdFreezer.
func (s *Slice) releaseFreezer() {
	held := Group{s, heldGroup}
	if t, ok := held.freezer(); ok && !t.unified {
		_ = os.Remove(held.path(t, ""))
	}
}

// CanFreeze reports whether groups of the slice can be frozen.
func (s *Slice) CanFreeze() bool {
	_, ok := Group{slice: s}.freezer()
	return ok
}

// freezer returns the hierarchy that freezes groups. Every group of version 2 can be
// frozen, without a controller.
func (g Group) freezer() (tree, bool) {
	for _, t := range g.slice.trees {
		if t.unified || t.has(Freezer) {
			return t, true
		}
	}
	return tree{}, false
}
