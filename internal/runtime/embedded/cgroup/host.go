// Package cgroup keeps control groups for instances: one group each, with
// limits on processor time, memory and number of processes, on hosts with
// cgroup version 1, version 2 or both.
//
// It writes the kernel's files directly. It knows nothing of instances, and lists
// processes but does not signal them. The embedded driver calls it.
package cgroup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Controllers that instances use. Version 2 counts processor time without one.
const (
	CPU    = "cpu"
	CPUAcc = "cpuacct" // only in version 1
	CPUSet = "cpuset"  // only in version 1; it limits nothing, see shareCPUs
	Memory = "memory"
	Pids   = "pids"
	IO     = "io"    // only in version 2, and only where it comes with another
	BlkIO  = "blkio" // only in version 1: disks, see Rates

	Freezer = "freezer" // only in version 1: in version 2 every group can be frozen
)

// tree is a mounted cgroup hierarchy.
type tree struct {
	root        string // mount point
	unified     bool   // version 2
	controllers []string
	options     string // mount options that select it; "" for version 2
}

func (t tree) has(controller string) bool { return slices.Contains(t.controllers, controller) }

// Slice is a group, in each hierarchy that is needed, below which all groups
// of one driver lie.
type Slice struct {
	name  string
	trees []tree
}

// Find finds the hierarchies in mountinfo (the contents of
// /proc/self/mountinfo). name, of one element, is the slice's in all of them.
func Find(mountinfo []byte, name string) (*Slice, error) {
	trees, err := findTrees(mountinfo)
	if err != nil {
		return nil, err
	}
	s := &Slice{name: name}
	// A controller is on one hierarchy only, so no two of these overlap.
	for _, t := range trees {
		hasIO := t.unified && t.has(IO)
		t.controllers = slices.DeleteFunc(t.controllers, func(c string) bool {
			return !slices.Contains([]string{CPU, CPUAcc, Memory, Pids}, c) && (t.unified || c != CPUSet && c != BlkIO && c != Freezer)
		})
		if len(t.controllers) == 0 {
			continue
		}
		if hasIO {
			t.controllers = append(t.controllers, IO)
		}
		s.trees = append(s.trees, t)
	}
	if !s.Has(CPU) && !s.Has(Memory) && !s.Has(Pids) {
		return nil, errors.New("this machine has no cgroup hierarchy with the cpu, memory or pids controller mounted")
	}
	return s, nil
}

// Make makes the slice, unless it exists.
func (s *Slice) Make() error {
	var made []tree
	for _, t := range s.trees {
		err := s.make(t)
		if err != nil && len(t.controllers) == 1 && slices.Contains([]string{CPUSet, BlkIO, Freezer}, t.controllers[0]) {
			continue // the first limits nothing; what needs the others fails by itself
		}
		if err != nil {
			return fmt.Errorf("make cgroup %s: %w", s.name, err)
		}
		made = append(made, t)
	}
	s.trees = made
	s.holdFreezer()
	return nil
}

// findTrees returns the cgroup hierarchies among the mounts.
func findTrees(mountinfo []byte) ([]tree, error) {
	var unified, old []tree
	for lines := bufio.NewScanner(bytes.NewReader(mountinfo)); lines.Scan(); {
		t, ok := parseMount(lines.Text())
		switch {
		case !ok:
		case t.unified && len(unified) == 0:
			list, err := os.ReadFile(filepath.Join(t.root, "cgroup.controllers"))
			if err != nil {
				return nil, fmt.Errorf("read the controllers of cgroup version 2: %w", err)
			}
			t.controllers = strings.Fields(string(list))
			unified = append(unified, t)
		case !t.unified && !slices.ContainsFunc(old, func(o tree) bool { return o.options == t.options }):
			old = append(old, t)
		}
	}
	return append(unified, old...), nil
}

// parseMount reads a line of mountinfo, see proc_pid_mountinfo(5).
func parseMount(line string) (t tree, ok bool) {
	before, after, found := strings.Cut(line, " - ")
	head, tail := strings.Fields(before), strings.Fields(after)
	if !found || len(head) < 5 || len(tail) < 3 {
		return t, false
	}
	t.root = unescape(head[4])
	switch tail[0] {
	case "cgroup2":
		t.unified = true
		return t, true
	case "cgroup":
		for option := range strings.SplitSeq(tail[2], ",") {
			switch option {
			case "rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "favordynmods":
			default:
				if !strings.Contains(option, "=") {
					t.controllers = append(t.controllers, option)
				}
			}
		}
		t.options = strings.Join(t.controllers, ",")
		return t, len(t.controllers) > 0
	}
	return t, false
}

// unescape undoes mountinfo's octal escapes of blanks and backslashes.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// make makes the slice's group in one hierarchy. In version 2, controllers are
// handed down from group to group.
func (s *Slice) make(t tree) error {
	dir := filepath.Join(t.root, s.name)
	if t.unified {
		if err := handDown(t.root, t.controllers); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	switch {
	case t.unified:
		return handDown(dir, t.controllers)
	case t.has(CPUSet):
		return shareCPUs(t.root, dir)
	}
	return nil
}

// shareCPUs gives a group of version 1 all processors and memory nodes of its parent,
// without which it can hold no process, and has the groups below it made with them.
//
// Groups are in this hierarchy only to be seen there. Java takes a machine for one of
// version 1 if memory, cpu, cpuacct and cpuset are all mounted, and otherwise knows
// none of its limits.
func shareCPUs(parent, dir string) error {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		text, err := os.ReadFile(filepath.Join(parent, name))
		if err != nil {
			return err
		}
		if err := write(filepath.Join(dir, name), strings.TrimSpace(string(text))); err != nil {
			return err
		}
	}
	return write(filepath.Join(dir, "cgroup.clone_children"), "1")
}

func handDown(dir string, controllers []string) error {
	path := filepath.Join(dir, "cgroup.subtree_control")
	have, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var missing []string
	for _, c := range controllers {
		if !slices.Contains(strings.Fields(string(have)), c) {
			missing = append(missing, "+"+c)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	err = write(path, strings.Join(missing, " "))
	if i := slices.Index(missing, "+"+IO); err != nil && i >= 0 {
		// All or nothing: somebody may have claimed the disks for another hierarchy.
		err = write(path, strings.Join(slices.Delete(missing, i, i+1), " "))
	}
	if err != nil {
		return fmt.Errorf("enable controllers (processes in the group itself prevent it): %w", err)
	}
	return nil
}

// Restore makes what is missing of the slice.
func (s *Slice) Restore() error {
	for _, t := range s.trees {
		if err := s.make(t); err != nil {
			return fmt.Errorf("make cgroup %s: %w", s.name, err)
		}
	}
	s.holdFreezer()
	return nil
}

// Dirs returns the slice's directory in each hierarchy, and the one that it lies in.
func (s *Slice) Dirs() (dirs []string) {
	for _, t := range s.trees {
		dirs = append(dirs, t.root, filepath.Join(t.root, s.name))
	}
	return dirs
}

// Has reports whether groups are under a controller.
func (s *Slice) Has(controller string) bool {
	return slices.ContainsFunc(s.trees, func(t tree) bool { return t.has(controller) })
}

// Mount says how a hierarchy is mounted for the processes in a group of it.
type Mount struct {
	Name    string // usual directory below /sys/fs/cgroup; "" where it is the only one
	Options string // mount options that select a version 1 hierarchy; "" for version 2
}

// Mounts returns the hierarchies that groups are in.
func (s *Slice) Mounts() []Mount {
	var mounts []Mount
	for _, t := range s.trees {
		switch {
		case len(t.controllers) == 1 && (t.has(BlkIO) || t.has(Freezer)): // no program looks for it
		case !t.unified:
			mounts = append(mounts, Mount{Name: t.options, Options: t.options})
		case len(s.trees) == 1:
			mounts = append(mounts, Mount{})
		default:
			mounts = append(mounts, Mount{Name: "unified"})
		}
	}
	return mounts
}

// Names returns the groups that exist in any hierarchy, but not that of holdFreezer.
func (s *Slice) Names() ([]string, error) {
	var names []string
	for _, t := range s.trees {
		entries, err := os.ReadDir(filepath.Join(t.root, s.name))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.IsDir() && e.Name() != heldGroup && !slices.Contains(names, e.Name()) {
				names = append(names, e.Name())
			}
		}
	}
	return names, nil
}

// Close removes the slice if no group is left in it.
func (s *Slice) Close() {
	s.releaseFreezer()
	for _, t := range s.trees {
		os.Remove(filepath.Join(t.root, s.name)) // refused while it is in use
	}
}

// write writes a control file in one call, as the kernel wants it.
func write(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
