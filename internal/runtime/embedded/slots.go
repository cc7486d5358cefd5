package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// slots are the numbers of sandboxes, which give them their ids on the host. Drivers with
// the same directory of claims never use a number at once: each number that is in use is a
// file there with the path of its driver's directory. So the servers of a machine have no
// ids in common, and none has a share of them that others lack.
type slots struct {
	mu     sync.Mutex // guards used
	used   map[int]bool
	most   int
	claims string // directory; "" for a driver that is alone
	owner  string // the driver's directory
}

func newSlots(most int, claims, owner string) *slots {
	return &slots{used: map[int]bool{}, most: most, claims: claims, owner: owner}
}

func (s *slots) path(n int) string { return filepath.Join(s.claims, strconv.Itoa(n)) }

// take returns the lowest number that no driver uses.
func (s *slots) take() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	unlock, err := s.lock()
	if err != nil {
		return 0, err
	}
	defer unlock()
	for n := range s.most {
		if s.used[n] {
			continue
		}
		mine, err := s.claim(n)
		if err != nil {
			return 0, err
		}
		if mine {
			s.used[n] = true
			return n, nil
		}
	}
	return 0, fmt.Errorf("all %d sandboxes of this machine are in use", s.most)
}

// lock keeps other drivers from claiming until unlock is called.
func (s *slots) lock() (unlock func(), err error) {
	if s.claims == "" {
		return func() {}, nil
	}
	if err := os.MkdirAll(s.claims, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of claimed ids: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(s.claims, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the claimed ids: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock the claimed ids: %w", err)
	}
	// Closing is not enough: a child that is being forked has a copy of the file.
	return func() { _ = unix.Flock(int(f.Fd()), unix.LOCK_UN); f.Close() }, nil
}

// claim makes a number this driver's and reports whether it is. Claims of a driver whose
// directory is gone, and what a killed process of this driver claimed, are taken over.
func (s *slots) claim(n int) (bool, error) {
	if s.claims == "" {
		return true, nil
	}
	owner, err := os.ReadFile(s.path(n))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("read whose ids are claimed: %w", err)
	}
	if err == nil && string(owner) != s.owner {
		if _, err := os.Stat(string(owner)); len(owner) > 0 && !errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
	}
	if err := os.WriteFile(s.path(n), []byte(s.owner), 0o600); err != nil {
		return false, fmt.Errorf("claim ids: %w", err)
	}
	return true, nil
}

// mark notes that a sandbox of an earlier process uses a number. It keeps it even if
// another driver has it as well: versions before claimed none.
func (s *slots) mark(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used[n] = true
	if n < 0 {
		return
	}
	if unlock, err := s.lock(); err == nil {
		defer unlock()
		_, _ = s.claim(n)
	}
}

// free gives a number back.
func (s *slots) free(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.used, n)
	if s.claims == "" || n < 0 {
		return
	}
	unlock, err := s.lock()
	if err != nil {
		return // the claim is this driver's, and the next take can have it
	}
	defer unlock()
	if owner, err := os.ReadFile(s.path(n)); err == nil && string(owner) == s.owner {
		_ = os.Remove(s.path(n))
	}
}
