package daemon

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// checkRights refuses users other than root, of whom the server's parts would find out
// one by one, after others had written credentials and keys that nobody uses.
func checkRights(euid int) error {
	if euid == 0 {
		return nil
	}
	return fmt.Errorf("the server needs root, and this is the user with id %d: it makes namespaces, mounts, cgroups and network devices for the instances; run `sudo slipway serve`. Nothing was written. The other verbs need no root", euid)
}

// errLocked is the error of tryLock if another process, or another part of this one, has
// the lock.
const errLocked = unix.EWOULDBLOCK

// tryLock locks a file, or a directory, until it is closed.
func tryLock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

// lockedError says that another server has a data directory. It is errLocked.
type lockedError struct{ dir dirs }

func (e *lockedError) Error() string {
	return fmt.Sprintf("another server is running on %s; `slipway upgrade` replaces it, without losing a request, by the program that is installed now; otherwise stop it, or choose another --data-dir", e.dir)
}

func (*lockedError) Unwrap() error { return errLocked }

// lockDir makes this process the only server of a data directory until unlock is
// called or the process ends, however it ends.
func lockDir(d dirs) (unlock func() error, err error) {
	f, err := os.OpenFile(d.lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	err = tryLock(f)
	if errors.Is(err, errLocked) {
		f.Close()
		return nil, &lockedError{d}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	return func() error {
		// Closing is not enough: a child that is being forked has a copy of the
		// file until it executes its program.
		return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
	}, nil
}
