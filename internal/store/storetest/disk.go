package storetest

import (
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Disk is where a store's syncs go that store.OpenOn opened with its Sync: to the file,
// unless a test holds them up.
type Disk struct {
	Asked chan struct{} // receives for each sync that is held up
	Syncs atomic.Int64  // how many were asked for

	mu   sync.Mutex // guards held
	held chan error // nil: syncs go through
}

// NewDisk returns a disk that holds up nothing.
func NewDisk() *Disk { return &Disk{Asked: make(chan struct{}, 64)} }

// Sync is for store.OpenOn.
func (d *Disk) Sync(f *os.File) error {
	d.Syncs.Add(1)
	d.mu.Lock()
	held := d.held
	d.mu.Unlock()
	if held == nil {
		return unix.Fdatasync(int(f.Fd()))
	}
	d.Asked <- struct{}{}
	return <-held
}

// Hold holds up the syncs that begin from now on, until release, whose argument is how
// they end.
func (d *Disk) Hold() (release func(error)) {
	held := make(chan error)
	d.set(held)
	return func(err error) {
		d.set(nil)
		held <- err // one at a time is under way
	}
}

func (d *Disk) set(held chan error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held = held
}
