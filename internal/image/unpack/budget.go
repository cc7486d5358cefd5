package unpack

import (
	"cmp"
	"sync"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/room"
)

// Limits bound what the layers of one image may cost together. The first four are
// required.
type Limits struct {
	Bytes   int64 // of the uncompressed tars, and of their files, holes counted in full
	Entries int   // files, directories and links
	Ratio   int64 // bytes read or written for each compressed one, beyond Slack
	Slack   int64 // bytes exempt from Ratio: gzip shrinks a file of zeros a thousandfold, which is no attack by itself

	Lookups int64 // files looked at in lower layers, or microseconds spent on symbolic links; 100,000,000
	Names   int   // bytes of directories' names that one layer keeps in memory; 64 MiB
}

// Cost is what unpacking has cost.
type Cost struct {
	Read    int64 // bytes of uncompressed tars
	Bytes   int64 // of regular files, holes counted in full
	Written int64 // bytes of the disk: blocks with data, directories, attributes, inodes
	Entries int
}

func (c *Cost) add(d Cost, sign int64) {
	c.Read += sign * d.Read
	c.Bytes += sign * d.Bytes
	c.Written += sign * d.Written
	c.Entries += int(sign) * d.Entries
}

// What the disk takes for an entry beside the content of a file, in bytes.
const (
	block     = 4096 // of a file system; also what a directory takes
	inodeCost = 512  // of a file's inode, and its name
)

// Budget is what the layers of one image may still cost: the layers share it, also when
// they are unpacked at once.
type Budget struct {
	limits  Limits
	allowed int64 // of Cost.Read, and of Cost.Written
	disk    *room.Gauge

	mu      sync.Mutex
	spent   Cost
	lookups int64
}

// Budget returns the budget of an image whose layers have that many compressed bytes
// together. If disk is not nil, its reserve stays free, too.
func (l Limits) Budget(compressed int64, disk *room.Gauge) *Budget {
	l.Lookups, l.Names = cmp.Or(l.Lookups, 100_000_000), cmp.Or(l.Names, 64<<20)
	return &Budget{limits: l, allowed: l.Slack + l.Ratio*min(compressed, (1<<62)/max(l.Ratio, 1)), disk: disk}
}

// CostError says that an image's layers cost too much together, which need not be the
// fault of the layer that was unpacked then. It wraps an *slipway.Error.
type CostError struct{ err error }

func (e *CostError) Error() string { return e.err.Error() }

// Unwrap returns the *slipway.Error.
func (e *CostError) Unwrap() error { return e.err }

func tooCostly(format string, args ...any) error {
	return &CostError{slipway.Errorf(slipway.InvalidRequest, format, args...)}
}

// Spend counts the cost of a layer that was unpacked before, and returns an
// *slipway.Error if the image's layers cost too much together.
func (b *Budget) Spend(c Cost) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent.add(c, 1)
	switch {
	case b.spent.Bytes < 0 || max(b.spent.Bytes, b.spent.Read) > b.limits.Bytes:
		return tooCostly("The layers of the image are larger than the %d bytes allowed when unpacked.", b.limits.Bytes)
	case max(b.spent.Read, b.spent.Written) > b.allowed:
		return tooCostly("The layers of the image expand more than %d times when unpacked, which is not allowed.", b.limits.Ratio)
	case b.spent.Entries > b.limits.Entries:
		return tooCostly("The layers of the image have more than the %d entries allowed.", b.limits.Entries)
	}
	return nil
}

// look counts files of the layers below that were looked at.
func (b *Budget) look(n int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lookups += n; b.lookups > b.limits.Lookups {
		return tooCostly("The layers of the image have so many links through symbolic links or into the layers below that they can't be followed.")
	}
	return nil
}

// lookFor counts a time as look counts files.
func (b *Budget) lookFor(d time.Duration) error { return b.look(d.Microseconds()) }

// refund takes back what a layer has cost of which nothing is kept.
func (b *Budget) refund(c Cost) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent.add(c, -1)
}

// spend counts a cost of this layer before it is caused.
func (t *tree) spend(c Cost) error {
	t.stats.add(c, 1)
	if err := t.budget.Spend(c); err != nil {
		return err
	}
	if t.budget.disk == nil || c.Written == 0 {
		return nil
	}
	return t.budget.disk.Take(c.Written)
}

// keepName counts a name that is kept until the layer is unpacked.
func (t *tree) keepName(name string) error {
	if t.names += len(name); t.names > t.budget.limits.Names {
		return slipway.Errorf(slipway.InvalidRequest, "A layer of the image has directories with names of more than the %d bytes allowed together.", t.budget.limits.Names)
	}
	return nil
}
