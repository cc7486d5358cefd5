package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openslipway/slipway/internal/image/pack"
)

// packedSize returns the size of the tar of an adopted layer, 0 if the store has
// no such layer, and marks the layer as used.
func (s *Store) packedSize(h v1.Hash) (int64, error) {
	note, err := s.readLayerNote(h)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil || note.Tar == 0 {
		return 0, err
	}
	ok, err := touch(s.layerPath(h))
	if !ok {
		return 0, err
	}
	return note.Tar, err
}

// packedBlob is the blob of an adopted layer: a tar that is made while it is read.
// Read from its beginning, it is verified: the end of a tar with another digest is
// not delivered. It must not be used concurrently.
type packedBlob struct {
	lease  *lease
	dir    string
	digest v1.Hash
	size   int64

	pos    int64 // where the next Read reads
	stream *packStream
}

// openPacked opens the blob of an adopted layer.
func (s *Store) openPacked(h v1.Hash) (*packedBlob, error) {
	l := s.leases.open()
	l.hold(layerKey(h))
	size, err := s.packedSize(h)
	if err == nil && size == 0 {
		err = fmt.Errorf("blob %s: %w", h, ErrNotFound)
	}
	if err != nil {
		l.release()
		return nil, err
	}
	return &packedBlob{lease: l, dir: s.layerPath(h) + "/fs", digest: h, size: size}, nil
}

// packStream is one run of pack.Write.
type packStream struct {
	r    *io.PipeReader
	stop context.CancelFunc
	pos  int64
	sum  hash.Hash
}

func (b *packedBlob) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.pos
	case io.SeekEnd:
		offset += b.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning of a blob")
	}
	b.pos = offset
	return offset, nil
}

// Read makes the tar from its beginning again after a seek backwards.
func (b *packedBlob) Read(p []byte) (int, error) {
	if b.pos >= b.size {
		return 0, io.EOF
	}
	if b.stream == nil || b.stream.pos > b.pos {
		b.end()
		b.begin()
	}
	if skip := b.pos - b.stream.pos; skip > 0 {
		n, err := io.CopyN(b.stream.sum, b.stream.r, skip)
		b.stream.pos += n
		if err != nil {
			return 0, b.damaged(err)
		}
	}
	p = p[:min(int64(len(p)), b.size-b.pos)]
	n, err := b.stream.r.Read(p)
	b.stream.sum.Write(p[:n])
	b.stream.pos += int64(n)
	if err != nil {
		return 0, b.damaged(err)
	}
	if b.stream.pos == b.size {
		if err := b.verify(); err != nil {
			return 0, err
		}
	}
	b.pos += int64(n)
	return n, nil
}

// verify checks the digest of a tar that was read to its end.
func (b *packedBlob) verify() error {
	if got := hex.EncodeToString(b.stream.sum.Sum(nil)); got != b.digest.Hex {
		return b.damaged(fmt.Errorf("it has sha256:%s", got))
	}
	var more [1]byte
	if n, err := b.stream.r.Read(more[:]); n > 0 || err != io.EOF {
		return b.damaged(errors.New("it is longer"))
	}
	return nil
}

func (b *packedBlob) damaged(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("make the blob %s of its directory: %w: %w", b.digest, ErrDigest, err)
}

func (b *packedBlob) begin() {
	ctx, stop := context.WithCancel(context.Background())
	r, w := io.Pipe()
	go func() { w.CloseWithError(pack.Write(ctx, w, b.dir)) }()
	b.stream = &packStream{r: r, stop: stop, sum: sha256.New()}
}

func (b *packedBlob) end() {
	if b.stream != nil {
		b.stream.stop()
		b.stream.r.Close()
		b.stream = nil
	}
}

// Close ends the reading of the directory.
func (b *packedBlob) Close() error {
	b.end()
	b.lease.release()
	return nil
}
