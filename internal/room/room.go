// Package room says how much of a disk may be filled with bytes that strangers chose:
// images, sources, caches, the output of builds. A reserve stays free for what the server
// itself must write: its database, and the first half of the reserve for the output of
// services, which is bounded too but may be much.
//
// It measures and decides; it deletes nothing. Packages image, build, source/upload,
// source/git and logs call it before they write and while they do.
package room

import (
	"fmt"
	"io"
	"sync"

	"golang.org/x/sys/unix"
)

// The reserve of a file system is the smaller of both: 1 GiB, or a twentieth of its
// size. A hundredth of its inodes is kept as well.
const (
	reserveBytes  = 1 << 30
	reservePart   = 20
	reserveInodes = 100
)

// every is how many bytes are written at most between two measurements.
const every = 16 << 20

// Left returns how many bytes and files may still be written to the file system of dir.
// Zero or less means none. A file system that does not count its files always has one.
func Left(dir string) (bytes, files int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	bytes, files = left(&st, 1)
	return bytes, files, nil
}

// left returns what is left beside a part of the reserve, one for all of it.
func left(st *unix.Statfs_t, part int64) (bytes, files int64) {
	total := int64(st.Blocks) * st.Bsize //nolint:unconvert // Bsize is 32 bits wide on other architectures
	bytes = int64(st.Bavail)*st.Bsize - min(reserveBytes, total/reservePart)/part
	if files = 1; st.Files > 0 {
		files = int64(st.Ffree) - int64(st.Files/reserveInodes)/part
	}
	return bytes, files
}

// Error says that only the reserve is left. It is unix.ENOSPC to errors.Is.
type Error struct {
	Dir string
	// What is used up: "disk" or "inodes".
	What string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: only the reserve of the %s is left", e.Dir, e.What)
}

// Unwrap returns unix.ENOSPC.
func (e *Error) Unwrap() error { return unix.ENOSPC }

// Check returns an *Error unless need more bytes can be written to the file system of
// dir without touching the reserve.
func Check(dir string, need int64) error {
	_, err := leave(dir, need, 1)
	return err
}

// leave is Check, and returns how many bytes are left before the need.
func leave(dir string, need, part int64) (bytes int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	bytes, files := left(&st, part)
	switch {
	case bytes < need || bytes <= 0:
		return 0, &Error{Dir: dir, What: "disk"}
	case files <= 0:
		return 0, &Error{Dir: dir, What: "inodes"}
	}
	return bytes, nil
}

// Gauge measures a file system now and then, for several writers at once: the more
// often the less is left. The zero value with a Dir is ready.
type Gauge struct {
	Dir string

	// Own writers may use the first half of the reserve: what they write is the
	// server's to keep, such as the output of services.
	Own bool

	mu         sync.Mutex
	unmeasured int64 // bytes that may be written before the next measurement
}

// Take returns an *Error if n more bytes would touch the reserve.
func (g *Gauge) Take(n int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.unmeasured -= n; g.unmeasured >= 0 {
		return nil
	}
	g.unmeasured = 0
	part := int64(1)
	if g.Own {
		part = 2
	}
	bytes, err := leave(g.Dir, n, part)
	if err != nil {
		return err
	}
	g.unmeasured = min(every, (bytes-n)/4)
	return nil
}

// Writer writes to W, a file below Gauge.Dir, until only the reserve is left: then Write
// returns an *Error.
type Writer struct {
	W     io.Writer
	Gauge *Gauge
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	if err := w.Gauge.Take(int64(len(p))); err != nil {
		return 0, err
	}
	return w.W.Write(p)
}
