// Package unpack turns one layer of an image, a tar from a stranger, into a
// directory that overlayfs takes as a lower layer.
//
// It decides what a layer may contain and guarantees that nothing is written
// outside the directory; where directories live, who else uses them and when
// they go is package image's. It is called with a layer's bytes and never
// fetches any.
//
// What becomes of the entries:
//
//   - Regular files, directories, symbolic links and fifos are made with the
//     owner, mode (setuid and setgid bits included) and modification time of
//     the entry. What belongs to owners above 65535, which an instance's user
//     namespace does not have, is nobody's (65534).
//   - Hard links may name regular files, symbolic links and fifos, also of the
//     layers below: such a file is copied up first, as overlayfs would.
//   - Device nodes under /dev are left out with a log line, because root file
//     systems of distributions have some and an instance gets its own /dev;
//     anywhere else they are refused.
//   - Extended attributes in the user namespace are kept, all others left out:
//     security.capability has no effect under no_new_privs, and trusted.* is
//     how overlayfs itself is told things.
//   - ".wh.name" becomes overlayfs's whiteout, a character device 0/0, and
//     ".wh..wh..opq" the attribute trusted.overlay.opaque of its directory.
//     Other names that begin with ".wh..wh." are AUFS's own and left out.
//   - Directories that the tar does not have but its entries need are made as
//     the layers below have them, since overlayfs shows the uppermost one's
//     owner and mode; where they have none, with mode 0755 and owner root, as
//     Docker does.
//
// Names are taken relative to the layer's root, also absolute ones; ".." in a
// name is refused. Symbolic links in the way to an entry are followed as a
// process in a chroot would follow them (openat2 with RESOLVE_IN_ROOT), so
// that neither "..", absolute targets nor a link swapped in half-way lead out.
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
)

// ErrCorrupt is returned for a layer whose stored bytes are not those that its
// digest promises: the copy is bad, not the image.
var ErrCorrupt = errors.New("layer does not match its digest")

// Limits bound what a layer may cost. All are required.
type Limits struct {
	Bytes   int64 // of the uncompressed tar, and of its files together
	Entries int   // files, directories and links
	Ratio   int64 // uncompressed bytes for each compressed one, beyond Slack
	Slack   int64 // bytes free of Ratio: gzip shrinks a file of zeros a thousandfold, which is no attack by itself
}

// Digests are what a layer's bytes must hash to, "sha256:" and 64 digits.
type Digests struct {
	Blob string // as stored, compressed or not
	Diff string // uncompressed
}

// Stats tell what a layer unpacked to.
type Stats struct {
	Bytes   int64 // of regular files, holes counted in full
	Entries int
}

// Layer unpacks the layer that r yields, a tar that may be compressed with
// gzip or zstd, into the empty directory dir, which will lie on those of below.
// It reads r to its end and verifies both digests. After an error dir holds an
// unspecified part of the layer, nothing has been written elsewhere, and the
// caller removes it.
//
// A layer's own faults are *slipway.Error.
func Layer(ctx context.Context, r io.Reader, want Digests, dir string, below Below, limits Limits, log *slog.Logger) (Stats, error) {
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return Stats{}, fmt.Errorf("open %s: %w", dir, err)
	}
	defer unix.Close(root)

	blob := &meter{r: r, ctx: ctx, sum: sha256.New()}
	plain, done, err := decompress(blob)
	if err != nil {
		return Stats{}, unreadable(err, blob, 0, want)
	}
	defer done()
	diff := &meter{r: plain, ctx: ctx, sum: sha256.New(), allow: func(out int64) error { return limits.allow(out, blob.n) }}

	t := &tree{
		ctx: ctx, dir: dir, root: root, below: below, limits: limits, log: log,
		buf: make([]byte, 256<<10), copiedUp: map[entryKey]bool{},
	}
	if err := t.unpack(diff); err != nil {
		return t.stats, unreadable(err, blob, diff.n, want)
	}
	// What follows the tar's end still belongs to both digests.
	for _, m := range []*meter{diff, blob} {
		if _, err := io.CopyBuffer(io.Discard, onlyReader{m}, t.buf); err != nil {
			return t.stats, unreadable(err, blob, diff.n, want)
		}
	}
	if got := blob.digest(); got != want.Blob {
		return t.stats, fmt.Errorf("%w: is %s, want %s", ErrCorrupt, got, want.Blob)
	}
	if got := diff.digest(); got != want.Diff {
		return t.stats, slipway.Errorf(slipway.InvalidRequest,
			"Layer %s of the image unpacks to %s where the image's configuration says %s.", want.Blob, got, want.Diff)
	}
	return t.stats, nil
}

// unreadable says why the tar could not be read: bytes that are not the
// promised ones, when the rest of the blob shows that, are the likelier cause
// of a broken tar than a broken tool that made it.
func unreadable(err error, blob *meter, at int64, want Digests) error {
	if !isFormat(err) || blob.ctx.Err() != nil {
		return err
	}
	if _, e := io.Copy(io.Discard, onlyReader{blob}); e == nil && blob.digest() != want.Blob {
		return fmt.Errorf("%w: is %s, want %s", ErrCorrupt, blob.digest(), want.Blob)
	}
	return slipway.Errorf(slipway.InvalidRequest, "Layer %s is not a readable tar: %v (after %d bytes).", want.Blob, err, at)
}

// isFormat reports whether err is about the bytes read, not about writing
// them, a limit, or the entry's meaning.
func isFormat(err error) bool {
	if _, ok := errors.AsType[unix.Errno](err); ok {
		return false
	}
	return slipway.CodeOf(err) == "" && !errors.Is(err, ErrNeedsBelow) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
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
		if err := t.count(); err != nil {
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

// count takes one more entry into account.
func (t *tree) count() error {
	if t.stats.Entries++; t.stats.Entries > t.limits.Entries {
		return slipway.Errorf(slipway.InvalidRequest, "A layer of the image has more than the %d entries allowed.", t.limits.Entries)
	}
	return nil
}

// explain adds the entry to err, in words for the user where the entry is to
// blame.
func (t *tree) explain(h *tar.Header, err error) error {
	switch {
	case slipway.CodeOf(err) != "", errors.Is(err, ErrNeedsBelow):
		return err
	case errors.Is(err, unix.ENAMETOOLONG), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EMLINK), errors.Is(err, unix.EEXIST):
		return refuse(h.Name, "cannot be made: %v", err)
	}
	return fmt.Errorf("unpack %q: %w", h.Name, err)
}

// refuse is the error for an entry that a layer must not have.
func refuse(name, format string, args ...any) error {
	if len(name) > 200 {
		name = name[:200] + "..."
	}
	return slipway.Errorf(slipway.InvalidRequest, "A layer of the image has the entry %q, which %s.", name, fmt.Sprintf(format, args...))
}

// onlyReader hides every method but Read, so that io.Copy uses our buffer.
type onlyReader struct{ io.Reader }
