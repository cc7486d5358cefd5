package cgroup

import (
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
const freezeTime = 10 * time.Second

// Freeze stops all processes of the group where they are: they keep memory, sockets and
// open files, and get no processor time until Thaw. It returns when the kernel says that
// all have stopped; if that takes too long they run on, and it fails.
func (g Group) Freeze() error {
	if err := g.setFrozen(true); err != nil {
		return err
	}
	for pause, until := 50*time.Microsecond, time.Now().Add(freezeTime); ; pause = min(2*pause, 20*time.Millisecond) {
		frozen, err := g.Frozen()
		if frozen || err != nil {
			return err
		}
		if time.Now().After(until) {
			return errors.Join(fmt.Errorf("the processes of %s did not stop within %v", g.name, freezeTime), g.Thaw())
		}
		time.Sleep(pause)
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

// Frozen reports whether all processes of the group have stopped.
func (g Group) Frozen() (bool, error) {
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
