package unpack

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"hash"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/openslipway/slipway"
)

// maxWindow bounds the decoder's memory. The zstd tool accepts the same by
// default.
const maxWindow = 128 << 20

// allow returns an error if a layer may not expand from in compressed to out
// uncompressed bytes.
func (l Limits) allow(out, in int64) error {
	if out > l.Bytes {
		return slipway.Errorf(slipway.InvalidRequest, "A layer of the image is larger than the %d bytes allowed when unpacked.", l.Bytes)
	}
	if out > l.Slack && (out-l.Slack)/l.Ratio > in {
		return slipway.Errorf(slipway.InvalidRequest, "A layer of the image expands more than %d times when unpacked, which is not allowed.", l.Ratio)
	}
	return nil
}

// meter counts and hashes what is read through it, and stops when its context
// ends or allow refuses.
type meter struct {
	r     io.Reader
	ctx   context.Context //nolint:containedctx // lives for one Layer call
	sum   hash.Hash
	n     int64
	allow func(n int64) error
}

func (m *meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, context.Cause(m.ctx)
	}
	n, err := m.r.Read(p)
	m.sum.Write(p[:n])
	m.n += int64(n)
	if m.allow != nil {
		if e := m.allow(m.n); e != nil {
			return 0, e
		}
	}
	return n, err
}

// digest is the digest of what was read so far.
func (m *meter) digest() string { return "sha256:" + hex.EncodeToString(m.sum.Sum(nil)) }

// decompress returns r's content uncompressed. It detects the compression by
// the first bytes, since media types are often wrong. The caller calls the
// returned function when done.
func decompress(r io.Reader) (io.Reader, func(), error) {
	b := bufio.NewReaderSize(r, 128<<10)
	magic, err := b.Peek(4)
	if err != nil && err != io.EOF {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, nil, err
		}
		return z, func() { z.Close() }, nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}), len(magic) == 4 && magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:], []byte{0x2a, 0x4d, 0x18}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return b, func() {}, nil
}
