// Package decompress reads what gzip, zstd, xz and bzip2 compressed: image archives and
// layers, which may be anybody's. It tells the format by the first bytes, since names
// and media types are often wrong, and bounds what decoders take of memory.
//
// It knows nothing of archives or images, and does not bound the output unless asked
// (Limit): who reads a layer counts for itself. Packages image, image/unpack and
// cli/imagefile call it.
package decompress

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// Format is how bytes are compressed.
type Format string

// The formats. None is everything else: bytes as they are.
const (
	None  Format = ""
	Gzip  Format = "gzip"
	Zstd  Format = "zstd"
	XZ    Format = "xz"
	Bzip2 Format = "bzip2"
)

// HeadSize is how many bytes Detect needs.
const HeadSize = 10

// Detect returns the format of what begins with these bytes.
func Detect(head []byte) Format {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return Gzip
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return Zstd
	case len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}):
		return Zstd // a frame to skip
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		return XZ
	case isBzip2(head):
		return Bzip2
	}
	return None
}

// isBzip2 asks for more than "BZh": a tar may begin with a file of that name.
func isBzip2(head []byte) bool {
	if len(head) < 10 || !bytes.HasPrefix(head, []byte("BZh")) || head[3] < '1' || head[3] > '9' {
		return false
	}
	block, end := "1AY&SY", "\x17rE8P\x90"
	return string(head[4:10]) == block || string(head[4:10]) == end
}

// window bounds what a decoder remembers of its output, in bytes. The tools zstd and xz
// use less at every level unless asked for more.
const window = 128 << 20

// ErrCorrupt is wrapped by errors about bytes that are not what their first ones say. An
// error of the reader below is returned as it is.
var ErrCorrupt = errors.New("the compressed data is damaged")

// Reader reads uncompressed bytes.
type Reader struct {
	Format Format

	source *source
	plain  io.Reader
	close  func()
}

// NewReader returns a reader of what r yields, uncompressed. The caller closes it.
func NewReader(r io.Reader) (*Reader, error) {
	s := &source{r: r}
	b := bufio.NewReaderSize(s, 128<<10)
	head, err := b.Peek(HeadSize)
	if err != nil && err != io.EOF {
		return nil, err
	}
	d := &Reader{Format: Detect(head), source: s, plain: b, close: func() {}}
	if err := d.open(b); err != nil {
		return nil, d.explain(err)
	}
	return d, nil
}

// open makes the format's decoder.
func (d *Reader) open(r io.Reader) error {
	switch d.Format {
	case Gzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			return err
		}
		d.plain, d.close = z, func() { z.Close() }
	case Zstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
		if err != nil {
			return err
		}
		d.plain, d.close = z, z.Close
	case XZ:
		z, err := xz.NewReader(r, window)
		if err != nil {
			return err
		}
		d.plain = z
	case Bzip2:
		d.plain = bzip2.NewReader(r)
	}
	return nil
}

// Read implements io.Reader.
func (d *Reader) Read(p []byte) (int, error) {
	n, err := d.plain.Read(p)
	if err != nil && err != io.EOF {
		err = d.explain(err)
	}
	return n, err
}

// Close frees what the decoder has. It does not close the reader below.
func (d *Reader) Close() { d.close() }

// explain returns the error below, if there was one, or else says what is damaged.
func (d *Reader) explain(err error) error {
	if d.source.err != nil {
		return d.source.err
	}
	if d.Format == None {
		return err
	}
	return fmt.Errorf("%w: %s: %w", ErrCorrupt, d.Format, err)
}

// source remembers the error of a reader, which decoders replace by their own.
type source struct {
	r   io.Reader
	n   int64
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// Limit bounds what a small input expands to.
type Limit struct {
	Bytes int64 // of output
	Ratio int64 // bytes of output for each of input, beyond Slack
	Slack int64
}

// ErrTooLarge is wrapped by errors about input that expands beyond its limit.
var ErrTooLarge = errors.New("it is larger than allowed when decompressed")

// Limited returns a reader of d that fails where the output exceeds the limit. Bytes that
// are not compressed have none but Limit.Bytes.
func (d *Reader) Limited(l Limit) io.Reader { return &limited{d: d, limit: l} }

type limited struct {
	d     *Reader
	limit Limit
	n     int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.d.Read(p)
	l.n += int64(n)
	switch {
	case l.n > l.limit.Bytes:
		return 0, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, l.limit.Bytes)
	case l.n > l.limit.Slack && (l.n-l.limit.Slack)/l.limit.Ratio > l.d.source.n:
		return 0, fmt.Errorf("%w: more than %d times its size", ErrTooLarge, l.limit.Ratio)
	}
	return n, err
}
