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
	"sync"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/cgroup"
	"github.com/openslipway/slipway/internal/runtime/embedded/disk"
	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

// yard is where sandboxes are made and taken apart.
type yard struct {
	dir      string
	layerDir string
	idBase   int
	diskSize int64
	skeleton []byte // the message to every new init

	slice   *cgroup.Slice
	disks   *disk.Pool
	shop    *workshop
	spawner *spawner
	egress  Egress
	slots   *slots
	log     *slog.Logger
}

// Directories in the driver's.
const (
	dirBlank     = "blank"
	dirInstances = "instances"
	dirTrash     = "trash"
	dirDisks     = "disks"
	dirMount     = "mount" // mounted upon, in the workshop alone
)

func openYard(cfg Config, slice *cgroup.Slice) (*yard, error) {
	y := &yard{
		dir:      cfg.Dir,
		layerDir: cfg.LayerDir,
		idBase:   cfg.FirstID,
		diskSize: cfg.Disk,
		slice:    slice,
		spawner:  &spawner{program: cfg.Init, log: cfg.Log},
		egress:   cfg.Egress,
		slots:    newSlots(cfg.Sandboxes),
		log:      cfg.Log,
	}
	for _, name := range []string{dirBlank, dirInstances, dirTrash, dirMount} {
		if err := os.MkdirAll(y.path(name), 0o700); err != nil {
			return nil, fmt.Errorf("make the embedded runtime's directories: %w", err)
		}
	}
	if err := slice.Make(); err != nil {
		return nil, err
	}
	var err error
	if y.disks, err = disk.Open(y.path(dirDisks), cfg.Disks, cfg.Log); err != nil {
		return nil, err
	}
	y.shop = newWorkshop(y.path(dirMount))
	skeleton := handoff.Skeleton{Shm: shmSize, OutputSize: uint64(cfg.Output) / 2}
	for _, m := range slice.Mounts() {
		skeleton.Cgroups = append(skeleton.Cgroups, handoff.CgroupMount{Name: m.Name, Options: m.Options})
	}
	y.skeleton = skeleton.Append(nil)
	return y, nil
}

func (y *yard) close() {
	y.spawner.close()
	y.slice.Close()
}

func (y *yard) path(names ...string) string {
	return filepath.Join(append([]string{y.dir}, names...)...)
}

// firstID is the host's id for the ids 0 of the sandbox in a slot.
func (y *yard) firstID(slot int) int { return y.idBase + slot*idsPerSandbox }

// bury removes all that a sandbox had besides its process: that is dead, or
// dies now. It may be repeated, also for a sandbox of which nothing is left.
// The sandbox's directory is in the trash, or nowhere.
func (y *yard) bury(ctx context.Context, name string) error {
	if err := y.killGroup(name); err != nil {
		return fmt.Errorf("bury sandbox %s: %w", name, err)
	}
	var errs []error
	if y.egress != nil {
		errs = append(errs, y.egress.Detach(ctx, name))
	}
	errs = append(errs, y.slice.Group(name).Remove(), y.disks.Remove(name))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("bury sandbox %s: %w", name, err)
	}
	// Last: while it is there, the next driver knows that there is work left.
	if err := os.RemoveAll(y.path(dirTrash, name)); err != nil {
		return fmt.Errorf("bury sandbox %s: %w", name, err)
	}
	y.slots.free(slotOf(name))
	return nil
}

// killGroup kills what is in a sandbox's cgroup.
func (y *yard) killGroup(name string) error {
	pids, err := y.slice.Group(name).Procs()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
			return err
		}
	}
	return nil
}

// discardDir moves a blank sandbox's or an instance's directory to the trash.
// One that is not there has been moved before.
func (y *yard) discardDir(from, name string) error {
	err := os.Rename(from, y.path(dirTrash, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Sandbox names are a slot, which gives the sandbox its ids, and a random part
// that makes them unique: "00012-5f3a9c1e".

func newName(slot int) string {
	var b [4]byte
	rand.Read(b[:])
	return fmt.Sprintf("%05d-%08x", slot, binary.BigEndian.Uint32(b[:]))
}

// slotOf returns a sandbox's slot, -1 if the name is not a sandbox's.
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

// slots hands out numbers from 0 up.
type slots struct {
	mu   sync.Mutex // guards used
	used map[int]bool
	most int
}

func newSlots(most int) *slots { return &slots{used: map[int]bool{}, most: most} }

// take returns the lowest number that is free.
func (s *slots) take() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range s.most {
		if !s.used[n] {
			s.used[n] = true
			return n, nil
		}
	}
	return 0, fmt.Errorf("all %d sandboxes of this machine are in use", s.most)
}

// mark takes a number that somebody has.
func (s *slots) mark(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used[n] = true
}

func (s *slots) free(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.used, n)
}
