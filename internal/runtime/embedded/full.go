package embedded

import (
	"fmt"
	"os"
	goruntime "runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
)

const (
	// ownFull is how little of an instance's disk is left when it counts as full, and
	// ownRoom how much when it no longer does, in bytes.
	ownFull = 1 << 20
	ownRoom = 16 << 20
	// hostFull and hostRoom are those of the host's disk. Of a full one the ballast (see
	// package room) gives up a mebibyte at a time, which instances may take, too.
	hostFull = 4 << 20
	hostRoom = 32 << 20
)

// fullness decides what keeps an instance from writing to its disk, from the bytes and files
// that are free. was is what did so before.
func fullness(was runtime.Full, own, host unix.Statfs_t) runtime.Full {
	little := func(st unix.Statfs_t, was bool, full, room int64) bool {
		limit := full
		if was {
			limit = min(room, int64(st.Blocks)*st.Bsize/10) //nolint:unconvert // Bsize is 32 bits wide on other architectures
			limit = max(limit, full)
		}
		return int64(st.Bavail)*st.Bsize < limit || st.Files > 0 && st.Ffree == 0 //nolint:unconvert // as above
	}
	switch {
	case little(own, was == runtime.FullOwn, ownFull, ownRoom):
		return runtime.FullOwn // also while the host's is: that would not help
	case little(host, was == runtime.FullHost, hostFull, hostRoom):
		return runtime.FullHost
	}
	return ""
}

// lookAtDisk notes what keeps the instance from writing to its disk, and returns it. It keeps
// what it knows if the disk cannot be seen.
func (d *Driver) lookAtDisk(in *instance) runtime.Full {
	in.mu.Lock()
	was, inside := in.full, 0
	if in.process != nil {
		inside = in.process.inside
	}
	in.mu.Unlock()
	if inside == 0 {
		return was
	}
	var own unix.Statfs_t
	if err := unix.Statfs("/proc/"+strconv.Itoa(inside)+"/root", &own); err != nil {
		return was
	}
	return d.noteDisk(in, own)
}

// lookAtEnd is lookAtDisk for an instance that has just ended, whose mounts are still there.
func (d *Driver) lookAtEnd(in *instance, p *process) {
	if p.mntns == nil {
		return
	}
	own := make(chan unix.Statfs_t, 1)
	awayFromMain(func() {
		var st unix.Statfs_t
		if unix.Unshare(unix.CLONE_FS) == nil && unix.Setns(int(p.mntns.Fd()), unix.CLONE_NEWNS) == nil && unix.Statfs("/", &st) == nil {
			own <- st
		}
	})
	select {
	case st := <-own:
		d.noteDisk(in, st)
	default:
	}
}

// awayFromMain calls f on a thread that ends afterwards, so that no goroutine gets the
// namespaces that f enters. The first thread of a process never ends, and what /proc/self
// shows is its view: it is not used.
func awayFromMain(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		goruntime.LockOSThread()
		if unix.Gettid() != os.Getpid() {
			f()
			return // with its thread
		}
		awayFromMain(f) // this goroutine keeps the first thread meanwhile
		goruntime.UnlockOSThread()
	}()
	<-done
}

// noteDisk is lookAtDisk once the disk has been seen.
func (d *Driver) noteDisk(in *instance, own unix.Statfs_t) runtime.Full {
	host := unix.Statfs_t{Bavail: 1 << 40, Bsize: 1}
	if d.factory.disks.TakesDisk() {
		var st unix.Statfs_t
		if err := unix.Statfs(d.factory.path(dirDisks), &st); err == nil {
			host = st
		}
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.full = fullness(in.full, own, host)
	return in.full
}

// diskReason says that an instance ended by itself when it could not write, "" if it could or
// somebody else has ended it.
func (d *Driver) diskReason(in *instance, e *slipway.Exit) string {
	in.mu.Lock()
	full, size := in.full, in.spec.Disk
	in.mu.Unlock()
	how := fmt.Sprintf("it exited with code %d", e.Code)
	if e.Signal != "" {
		how = "it was killed by " + e.Signal
	}
	switch {
	case e.Code == 0 && e.Signal == "", full == "", e.Signal == "SIGTERM", e.Signal == "SIGKILL", e.Signal == "SIGINT":
		return ""
	case full == runtime.FullHost:
		return how + " while the server's disk was full, so that what it wrote failed: the server's operator has to make room"
	}
	if size == 0 {
		size = d.cfg.Disk
	}
	return fmt.Sprintf("%s after it had filled its disk of %s: have it write less, or delete what it no longer needs", how, bytesText(size))
}
