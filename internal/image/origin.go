package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openslipway/slipway/internal/atomicfile"
	"github.com/openslipway/slipway/internal/image/unpack"
)

// The directory origins has, for each registry that images were pulled from, an empty
// file for each blob that it delivered. A pull takes a blob that is here without
// downloading it only from a registry that delivered it before: a registry that names
// somebody else's blob, and does not have it, would otherwise get it into its image.
const originsDir = "origins"

// maxProofs is how many blobs a layer's note names: everybody can compress a tar anew.
const maxProofs = 32

func (s *Store) originPath(host string, h v1.Hash) string {
	return s.path(originsDir + "/" + host + "/" + h.Hex)
}

// delivered reports whether a registry has delivered a blob.
func (s *Store) delivered(host string, h v1.Hash) (bool, error) { return touch(s.originPath(host, h)) }

// deliver records that a registry delivered blobs. The records are not synced: one that
// is lost costs a download.
func (s *Store) deliver(host string, blobs ...v1.Hash) error {
	s.origins.Lock()
	defer s.origins.Unlock()
	if err := s.mkdir(s.path(originsDir + "/" + host)); err != nil {
		return err
	}
	for _, h := range blobs {
		if err := makeEmpty(s.originPath(host, h)); err != nil {
			return s.explain(err)
		}
	}
	return nil
}

// receive stores what a registry sends as the blob d, or, if it is here already, reads it
// to the end and compares it.
func (s *Store) receive(ctx context.Context, l *lease, host string, d v1.Descriptor, r io.Reader) error {
	ok, err := s.intact(l, d)
	if err == nil && ok {
		err = prove(ctx, d, r)
	} else if err == nil {
		err = s.ingest(ctx, l, d, r)
	}
	if err != nil {
		return err
	}
	return s.deliver(host, d.Digest)
}

// prove reads r and returns ErrDigest unless it is the blob d.
func prove(ctx context.Context, d v1.Descriptor, r io.Reader) error {
	sum := sha256.New()
	n, err := io.Copy(sum, &contextReader{ctx, io.LimitReader(r, d.Size+1)})
	if err != nil {
		return err
	}
	if got := "sha256:" + hex.EncodeToString(sum.Sum(nil)); n != d.Size || got != d.Digest.String() {
		return fmt.Errorf("%w: want %s of %d bytes, got %s of %d", ErrDigest, d.Digest, d.Size, got, n)
	}
	return nil
}

// origins removes the records of blobs that the store does not have.
func (c *collection) origins(ctx context.Context) error {
	hosts, err := readDir(c.s.path(originsDir))
	if err != nil {
		return err
	}
	for _, host := range hosts {
		err := c.each(ctx, c.s.path(originsDir+"/"+host), func(h v1.Hash, path string) error {
			if ok, err := exists(c.s.blobPath(h)); ok || err != nil {
				return err
			}
			if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		})
		if err != nil {
			return err
		}
		c.s.origins.Lock()
		os.Remove(c.s.path(originsDir + "/" + host)) // fails unless it is empty
		c.s.origins.Unlock()
	}
	return nil
}

// addOrigins records, in a store that was written before origins were recorded, for each
// image that was pulled the registry that it came from.
func (s *Store) addOrigins() error {
	if known, err := exists(s.path(originsDir)); known || err != nil {
		return err
	}
	names, err := readDir(s.path("images"))
	if err != nil {
		return err
	}
	for _, hex := range names {
		h := v1.Hash{Algorithm: "sha256", Hex: hex}
		rec, err := s.readRecord(h)
		if err != nil || rec.Ref == "" || rec.Local {
			continue // a damaged record costs a download
		}
		m, err := s.readManifest(h)
		if err != nil {
			continue
		}
		r, err := parseReference(rec.Ref)
		if err != nil {
			continue
		}
		if r.host == "" {
			r.host = dockerHub
		}
		blobs := append(m.members(), h)
		if index, err := parseDigest(rec.Index); err == nil {
			blobs = append(blobs, index)
		}
		if err := s.deliver(r.host, blobs...); err != nil {
			return err
		}
	}
	if err := s.mkdir(s.path(originsDir)); err != nil {
		return err
	}
	return atomicfile.SyncDir(s.path(originsDir))
}

// proveLayer makes sure that an unpacked layer is what the layer's blob unpacks to. An image
// may name, beside a blob of its own, the diff id of somebody else's layer: the directory
// is shared by diff id, and who knows that has shown nothing. A blob that was once
// compared is in the note.
func (s *Store) proveLayer(ctx context.Context, l *lease, budget *unpack.Budget, layer Layer, id v1.Hash) error {
	if layer.Digest == layer.DiffID {
		return nil // the blob is the tar
	}
	note, err := s.readLayerNote(id)
	if err != nil || slices.Contains(note.Blobs, layer.Digest) {
		return err
	}
	return s.flights.do(ctx, layerKey(id)+" "+layer.Digest, func() error {
		if err := s.compareLayer(ctx, l, budget, layer); err != nil {
			return err
		}
		return s.editNote(id, func(n *layerNote) {
			if !slices.Contains(n.Blobs, layer.Digest) {
				n.Blobs = append(n.Blobs, layer.Digest)
			}
			n.Blobs = n.Blobs[max(0, len(n.Blobs)-maxProofs):] // the oldest is compared again
		})
	})
}

// compareLayer uncompresses a layer's blob and compares its digest with the diff id.
func (s *Store) compareLayer(ctx context.Context, l *lease, budget *unpack.Budget, layer Layer) error {
	h, err := parseDigest(layer.Digest)
	if err != nil {
		return err
	}
	l.hold(blobKey(h))
	blob, err := s.openBlob(h)
	if err != nil {
		return err
	}
	defer blob.Close()
	if err := s.unpacks.Acquire(ctx, 1); err != nil {
		return context.Cause(ctx)
	}
	defer s.unpacks.Release(1)
	return unpack.Verify(ctx, blob, unpack.Digests{Blob: layer.Digest, Diff: layer.DiffID}, budget)
}
