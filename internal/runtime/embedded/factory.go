package embedded

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/cgroup"
	"github.com/openslipway/slipway/internal/runtime/embedded/disk"
	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

// factory makes sandboxes and removes what they had.
type factory struct {
	dir      string
	layerDir string
	idBase   int
	diskSize int64
	most     int    // sandboxes at a time
	skeleton []byte // the first message to every init

	outputSize uint64 // of each of a sandbox's two output files

	slice   *cgroup.Slice
	disks   *disk.Pool
	mounts  *mountNamespace
	spawner *spawner
	egress  Egress
	slots   *slots
	home    *os.File // the daemon's network namespace
	log     *slog.Logger
}

// Directories in the driver's.
const (
	dirBlank     = "blank"
	dirJobs      = "jobs"
	dirInstances = "instances"
	dirTrash     = "trash"
	dirDisks     = "disks"
)

// workDirs are the directories that are needed at any time.
var workDirs = []string{dirBlank, dirJobs, dirInstances, dirTrash, dirDisks}

func openFactory(cfg Config, slice *cgroup.Slice) (*factory, error) {
	f := &factory{
		dir:      cfg.Dir,
		layerDir: cfg.LayerDir,
		idBase:   cfg.FirstID,
		diskSize: cfg.Disk,
		most:     cfg.Sandboxes,
		slice:    slice,
		spawner:  &spawner{program: cfg.Init, log: cfg.Log},
		egress:   cfg.Egress,
		slots:    newSlots(cfg.Sandboxes, cfg.Claims, cfg.Dir),
		log:      cfg.Log,
	}
	if err := f.makeDirs(); err != nil {
		return nil, err
	}
	if err := slice.Make(); err != nil {
		slice.Close()
		return nil, err
	}
	var err error
	if f.disks, err = disk.Open(f.path(dirDisks), cfg.Disks, cfg.Log); err != nil {
		slice.Close()
		return nil, err
	}
	f.mounts = newMountNamespace()
	f.outputSize = uint64(cfg.Output) / 2
	skeleton := handoff.Skeleton{Shm: shmSize}
	for _, m := range slice.Mounts() {
		skeleton.Cgroups = append(skeleton.Cgroups, handoff.CgroupMount{Name: m.Name, Options: m.Options})
	}
	f.skeleton = skeleton.Append(nil)
	return f, nil
}

// makeDirs makes the directories that are missing.
func (f *factory) makeDirs() error {
	for _, name := range workDirs {
		if err := os.MkdirAll(f.path(name), 0o700); err != nil {
			return fmt.Errorf("make the embedded runtime's directories: %w", err)
		}
	}
	return nil
}

// restore makes again what somebody may have removed of what all sandboxes share.
func (f *factory) restore() error { return errors.Join(f.makeDirs(), f.slice.Restore()) }

func (f *factory) close() {
	f.spawner.close()
	f.slice.Close()
}

func (f *factory) path(names ...string) string {
	return filepath.Join(append([]string{f.dir}, names...)...)
}

// firstID returns the host's id of user and group 0 of the sandbox in a slot.
func (f *factory) firstID(slot int) int { return f.idBase + slot*idsPerSandbox }

// shimID returns the host's id of the user and the group of the shim in a slot. These
// ids follow those of all sandboxes, so no sandbox has them.
func (f *factory) shimID(slot int) int { return f.firstID(f.most) + slot }

// remove kills what is left of a sandbox's processes and removes everything else
// that it had. It may be repeated, also when nothing is left. The sandbox's
// directory must be in the trash or not exist.
func (f *factory) remove(ctx context.Context, name string) error {
	if err := f.killGroup(name); err != nil {
		return fmt.Errorf("remove sandbox %s: %w", name, err)
	}
	var errs []error
	if f.egress != nil {
		errs = append(errs, f.egress.Detach(ctx, name))
	}
	errs = append(errs, f.slice.Group(name).Remove(), f.disks.Remove(name))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove sandbox %s: %w", name, err)
	}
	// Last: the next driver takes what is in the trash for work that is left.
	if err := os.RemoveAll(f.path(dirTrash, name)); err != nil {
		return fmt.Errorf("remove sandbox %s: %w", name, err)
	}
	f.slots.free(slotOf(name))
	return nil
}

// killGroup kills the processes in a sandbox's cgroup.
func (f *factory) killGroup(name string) error {
	group := f.slice.Group(name)
	pids, err := group.Procs()
	if err != nil {
		return err
	}
	if err := group.Thaw(); err != nil { // frozen processes of version 1 do not die
		return err
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
			return err
		}
	}
	return nil
}

// discardDir moves the directory of a blank sandbox or of an instance to the
// trash. One that does not exist has been moved before.
func (f *factory) discardDir(from, name string) error {
	err := os.Rename(from, f.path(dirTrash, name))
	if errors.Is(err, fs.ErrNotExist) { // one of the two
		if err := f.makeDirs(); err != nil {
			return err
		}
		err = os.Rename(from, f.path(dirTrash, name))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// A sandbox's name is its slot, which gives the sandbox its ids, and a random
// part that makes the name unique: "00012-5f3a9c1e".

func newName(slot int) string {
	var b [4]byte
	rand.Read(b[:])
	return fmt.Sprintf("%05d-%08x", slot, binary.BigEndian.Uint32(b[:]))
}

// slotOf returns the slot in a sandbox's name, -1 if it is not such a name.
func slotOf(name string) int {
	if len(name) != 14 || name[5] != '-' {
		return -1
	}
	slot, err := strconv.ParseUint(name[:5], 10, 32)
	if err != nil {
		return -1
	}
	return int(slot)
}
