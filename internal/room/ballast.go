package room

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// The ballast of a file system is the smaller of both: 32 MiB, or a twentieth of its size.
const (
	ballastBytes = 32 << 20
	ballastPart  = 20
)

// step is how much of the ballast is given up at once, and what is hardly anything.
const step = 1 << 20

// Ballast is a file of which no byte is used. It holds space that writers who do not ask
// for room can't take, such as instances, and gives it up for what the server itself must
// write on a full disk: the database, so that one can pause and delete. It is given up
// bit by bit, since those who have filled the disk take of it, too.
//
// A file system that can't hold space for a file has no ballast.
type Ballast struct {
	Path string

	mu      sync.Mutex
	useless bool // the file system can't hold space for a file
}

// Balance gives up some of the ballast if hardly anything else is free, and makes it again
// once there is room beside the reserve. Call it before a write: it takes two system calls.
func (b *Ballast) Balance() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	m, err := b.measure()
	if err != nil || b.useless {
		return err
	}
	switch missing := m.want - m.has; {
	case m.free < step && m.has > 0:
		return b.shrink(m)
	case missing > 0 && m.left >= missing:
		return b.grow(m)
	}
	return nil
}

// Give gives up some of the ballast, as a write has met a full disk.
func (b *Ballast) Give() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	m, err := b.measure()
	if err != nil || m.has == 0 {
		return err
	}
	return b.shrink(m)
}

// Missing returns how many bytes of the ballast are given up or could not be had.
func (b *Ballast) Missing() (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m, err := b.measure()
	if err != nil || b.useless {
		return 0, err
	}
	return max(m.want-m.has, 0), nil
}

// measured is what a look at the file system shows, in bytes.
type measured struct {
	want, has  int64 // of the ballast
	free, left int64 // with the reserve, and beside it
}

func (b *Ballast) measure() (m measured, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(b.Path), &st); err != nil {
		return m, fmt.Errorf("statfs %s: %w", filepath.Dir(b.Path), err)
	}
	info, err := os.Lstat(b.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	if err == nil {
		m.has = info.Size()
	}
	m.want = min(ballastBytes, int64(st.Blocks)*st.Bsize/ballastPart) //nolint:unconvert // as in left
	m.free = int64(st.Bavail) * st.Bsize
	m.left, _ = left(&st, 1)
	return m, nil
}

func (b *Ballast) shrink(m measured) error {
	return os.Truncate(b.Path, max(m.has-step, 0))
}

// grow makes the file whole, or leaves it as it was.
func (b *Ballast) grow(m measured) error {
	f, err := os.OpenFile(b.Path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, m.want)
	if err != nil {
		b.useless = errors.Is(err, unix.EOPNOTSUPP)
		if full := errors.Is(err, unix.ENOSPC); b.useless || full { // somebody was faster
			err = nil
		}
		err = errors.Join(err, f.Truncate(m.has))
	}
	return errors.Join(err, f.Close())
}
