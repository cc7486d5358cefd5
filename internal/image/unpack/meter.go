package unpack

import (
	"context"
	"encoding/hex"
	"hash"
	"io"

	"github.com/openslipway/slipway"
)

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
