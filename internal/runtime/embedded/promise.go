package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/room"
)

// Disks of instances and jobs take what is written to them and no more, up to their sizes.
// What they may still take is promised: all of them together may be promised more than is
// free, since most write little, but not any number of times that. See ADR 049.

// promise is what one instance or job may still take of the host's disk.
type promise struct {
	service, release string
	bytes            int64
	ended            bool // it takes nothing any more
}

// promises are those of instances and jobs that are about to start or have no entry among
// the driver's instances, by id.
type promises map[string]promise

// bytesText returns a size for people.
func bytesText(n int64) string {
	if n < 1<<30 {
		return fmt.Sprintf("%d MiB", max(n, 0)>>20)
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

// refuse decides whether an instance or a job may be started beside the promises that there
// are. free is in bytes, beside the reserve.
//
// What replaces is not refused, and nothing that runs is ended: an update has its
// predecessor's promise, which ends soon, and an instance that ended leaves its own to the
// next. So neither a rolling update nor a restart waits for room that only its end would make.
func refuse(have promises, want promise, free int64, times int) error {
	if times == 0 {
		return nil
	}
	var others int64
	count, alike, replaced := 0, 0, 0 // alike are of the same release
	for _, p := range have {
		same := want.service != "" && p.service == want.service
		switch {
		case same && (p.ended || p.release != want.release):
			replaced++
			continue
		case p.ended:
			continue
		case same:
			alike++
		}
		others += p.bytes
		count++
	}
	if alike < replaced || free > 0 && (others+want.bytes-1)/int64(times) < free {
		return nil
	}
	return slipway.Errorf(slipway.InvalidRequest, "The server's disk has no room for another disk of %s: %d other instances and builds may still write %s, "+
		"and all of that is more than %sthe %s that are free beside the reserve. "+
		"Make room on the server's disk, run fewer instances, or let the operator raise --disk-overcommit.",
		bytesText(want.bytes), count, bytesText(others), timesText(times), bytesText(free))
}

// timesText returns a factor for people, "" for 1.
func timesText(n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf("%d times ", n)
}

// admit notes the promise of an instance or a job that is about to start, or refuses it. The
// caller gives it back once the driver's list has the instance, or the job has ended.
func (d *Driver) admit(ctx context.Context, id string, want promise) (giveBack func(), err error) {
	onDisk, err := d.factory.disks.OnDisk(ctx)
	if err != nil || !onDisk {
		return func() {}, err
	}
	d.promising.Lock() // or two would take the last room at once
	defer d.promising.Unlock()
	free, err := d.roomForDisks()
	if err != nil {
		return nil, err
	}
	if err := refuse(d.promised(), want, free, d.cfg.Overcommit); err != nil {
		return nil, err
	}
	d.promises[id] = want
	return func() {
		d.promising.Lock()
		defer d.promising.Unlock()
		delete(d.promises, id)
	}, nil
}

// roomForDisks returns how many bytes of the host's disk are free beside the reserve. While
// the directory of disks is missing, because somebody has removed it, it measures the one above,
// in which the directory is made again.
func (d *Driver) roomForDisks() (int64, error) {
	dir := d.factory.path(dirDisks)
	free, _, err := room.Left(dir)
	for errors.Is(err, fs.ErrNotExist) && dir != "/" {
		dir = filepath.Dir(dir)
		free, _, err = room.Left(dir)
	}
	if err != nil {
		return 0, fmt.Errorf("measure the room for disks: %w", err)
	}
	return free, nil
}

// promised returns all promises. The caller holds promising.
func (d *Driver) promised() promises {
	all := promises{}
	for _, in := range d.known() {
		p := promise{service: in.spec.Service, release: in.spec.Release, bytes: in.mayWrite(d.cfg.Disk)}
		p.ended = !in.alive()
		all[in.id] = p
	}
	for id, p := range d.promises {
		all[id] = p
	}
	return all
}

// mayWrite returns how much the instance may still take of the host's disk. It holds for a
// frozen one, too.
func (in *instance) mayWrite(size int64) int64 {
	if in.spec.Disk > 0 {
		size = in.spec.Disk
	}
	in.mu.Lock()
	inside := 0
	if in.process != nil {
		inside = in.process.inside
	}
	in.mu.Unlock()
	if inside == 0 {
		return size
	}
	// The application may show another root, so what it shows counts no more than its disk.
	var st unix.Statfs_t
	if err := unix.Statfs("/proc/"+strconv.Itoa(inside)+"/root", &st); err != nil {
		return size // it is just ending
	}
	return min(int64(st.Bfree)*st.Bsize, size) //nolint:unconvert // Bsize is 32 bits wide on other architectures
}

// Room is what the disks of instances and jobs may take of the host's.
type Room struct {
	Promised int64 // bytes that they may still write
	Free     int64 // bytes beside the reserve
	Refused  bool  // another instance of the usual size would not be started
}

// Room measures the host's disk and what is promised of it.
func (d *Driver) Room(ctx context.Context) (Room, error) {
	ctx, done, err := d.begin(ctx)
	if err != nil {
		return Room{}, err
	}
	defer done()
	var r Room
	if r.Free, err = d.roomForDisks(); err != nil {
		return r, err
	}
	onDisk, err := d.factory.disks.OnDisk(ctx)
	if err != nil || !onDisk {
		return r, err
	}
	d.promising.Lock()
	defer d.promising.Unlock()
	all := d.promised()
	for _, p := range all {
		if !p.ended {
			r.Promised += p.bytes
		}
	}
	r.Refused = refuse(all, promise{bytes: d.cfg.Disk}, r.Free, d.cfg.Overcommit) != nil
	return r, nil
}
