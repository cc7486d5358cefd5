// Package unpack turns one layer of an image, an untrusted tar, into a
// directory that overlayfs takes as a lower layer.
//
// It decides what a layer may contain and guarantees that nothing is written
// outside the directory. Package image decides where directories are, who
// shares them and when they are removed. This package is given a layer's bytes
// and never fetches any.
//
// How entries are unpacked:
//
//   - Regular files, directories, symbolic links and fifos are made with the
//     owner, mode (setuid and setgid bits included) and modification time of
//     the entry. An owner above 2147483647 does not exist in an instance's user
//     namespace and becomes nobody (65534).
//   - Hard links may name regular files, symbolic links and fifos, also of
//     lower layers: such a file is copied up first, as overlayfs does it.
//   - Device nodes are left out, and hard links to them: no instance can have any
//     but those of its own /dev. Stats tells of those outside of /dev.
//   - Extended attributes in the user namespace are kept, and file capabilities,
//     which root of an instance's user namespace owns. All others are skipped:
//     trusted.* controls overlayfs itself.
//   - ".wh.name" becomes overlayfs's whiteout, a character device 0/0, and
//     ".wh..wh..opq" the attribute trusted.overlay.opaque of its directory.
//     Other names that begin with ".wh..wh." are AUFS's own and skipped.
//   - A directory that the tar does not declare but its entries need gets the
//     owner and mode that it has in the layers below, since overlayfs shows the
//     uppermost one's; without one below, mode 0755 and owner root, as Docker
//     does it.
//
// Names, absolute ones too, are taken relative to the layer's root; ".." in a
// name is refused. Symbolic links on the path of an entry are followed as a
// process in a chroot would follow them (openat2 with RESOLVE_IN_ROOT). So
// neither "..", nor absolute targets, nor a link swapped during the operation
// leads outside.
//
// Unpacking needs root: whiteouts are device nodes and owners differ.
package unpack

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/decompress"
)

// ErrCorrupt is returned for a layer whose stored bytes differ from its digest:
// the copy is damaged, not the image.
var ErrCorrupt = errors.New("layer does not match its digest")

// Digests are the digests that a layer's bytes must have, "sha256:" and 64
// hexadecimal digits.
type Digests struct {
	Blob string // as stored, compressed or not
	Diff string // uncompressed
}

// Stats describe an unpacked layer.
type Stats struct {
	Cost

	Devices     int      // device nodes outside of /dev, which were left out
	DeviceNames []string // the first of them
}

// Layer unpacks the layer that r yields, a tar that may be compressed with gzip,
// zstd, xz or bzip2, into the empty directory dir, which will lie on the layers of below.
// It reads r to its end and verifies both digests. After an error dir holds an
// unspecified part of the layer, nothing has been written elsewhere, and the
// caller removes dir.
//
// The budget is the image's: what the layer costs counts with the image's other layers,
// unless Layer fails. A layer that costs too much is an *slipway.Error, as any other
// invalid one is; the reserve of the disk is a *room.Error.
func Layer(ctx context.Context, r io.Reader, want Digests, dir string, below Below, budget *Budget, log *slog.Logger) (stats Stats, err error) {
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return Stats{}, fmt.Errorf("open %s: %w", dir, err)
	}
	defer unix.Close(root)

	blob := &meter{r: r, ctx: ctx, sum: sha256.New()}
	plain, err := decompress.NewReader(blob)
	if err != nil {
		return Stats{}, unreadable(err, blob, 0, want)
	}
	defer plain.Close()
	t := &tree{
		ctx: ctx, dir: dir, root: root, below: below, budget: budget, log: log,
		buf: make([]byte, 256<<10), zeros: make([]byte, block), copiedUp: map[entryKey]bool{}, leftOut: map[string]bool{},
	}
	defer func() {
		if err != nil {
			budget.refund(t.stats.Cost)
		}
	}()
	diff := &meter{r: plain, ctx: ctx, sum: sha256.New(), spend: func(n int64) error { return t.spend(Cost{Read: n}) }}
	if err := t.unpack(diff); err != nil {
		return t.stats, unreadable(err, blob, diff.n, want)
	}
	// What follows the tar's end still counts for both digests.
	for _, m := range []*meter{diff, blob} {
		if _, err := io.CopyBuffer(io.Discard, onlyReader{m}, t.buf); err != nil {
			return t.stats, unreadable(err, blob, diff.n, want)
		}
	}
	return t.stats, matches(blob, diff, want)
}

// unreadable says why the tar could not be read. If the rest of the blob shows
// a wrong digest, damage is the likelier cause than a broken tool.
func unreadable(err error, blob *meter, at int64, want Digests) error {
	if !isFormat(err) || blob.ctx.Err() != nil {
		return err
	}
	if _, e := io.Copy(io.Discard, onlyReader{blob}); e == nil && blob.digest() != want.Blob {
		return fmt.Errorf("%w: is %s, want %s", ErrCorrupt, blob.digest(), want.Blob)
	}
	return slipway.Errorf(slipway.InvalidRequest, "Layer %s is not a readable tar: %v (after %d bytes).", want.Blob, err, at)
}

// isFormat reports whether err is about the bytes read, and not about writing
// them, a limit, or the entry's meaning.
func isFormat(err error) bool {
	if _, ok := errors.AsType[unix.Errno](err); ok {
		return false
	}
	return slipway.CodeOf(err) == "" && !errors.Is(err, ErrNeedsBelow) && !errors.Is(err, unix.ENOSPC) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// unpack makes every entry of the tar.
func (t *tree) unpack(r io.Reader) error {
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return t.setTimes()
		}
		if err != nil {
			return err
		}
		if err := t.spend(Cost{Entries: 1, Written: inodeCost}); err != nil {
			return err
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue // comments, such as git archive's
		}
		if err := t.entry(h, tr); err != nil {
			return t.explain(h, err)
		}
	}
}

// explain adds the entry to err, as an *slipway.Error if the entry is at fault.
func (t *tree) explain(h *tar.Header, err error) error {
	switch {
	case slipway.CodeOf(err) != "", errors.Is(err, ErrNeedsBelow):
		return err
	case errors.Is(err, unix.ENAMETOOLONG), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EMLINK), errors.Is(err, unix.EEXIST):
		return refuse(h.Name, "can't be made: %v", err)
	}
	return fmt.Errorf("unpack %q: %w", h.Name, err)
}

// refuse is the error for an entry that a layer may not have.
func refuse(name, format string, args ...any) error {
	if len(name) > 200 {
		name = name[:200] + "..."
	}
	return slipway.Errorf(slipway.InvalidRequest, "A layer of the image has the entry %q, which %s.", name, fmt.Sprintf(format, args...))
}

// onlyReader hides every method except Read, so that io.Copy uses our buffer.
type onlyReader struct{ io.Reader }
