package unpack

import (
	"context"
	"encoding/hex"
	"hash"
	"io"
)

// meter counts and hashes what is read through it, and stops when its context
// ends or spend refuses.
type meter struct {
	r     io.Reader
	ctx   context.Context //nolint:containedctx // lives for one Layer call
	sum   hash.Hash
	n     int64
	spend func(n int64) error // may be nil
}

func (m *meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, context.Cause(m.ctx)
	}
	n, err := m.r.Read(p)
	m.sum.Write(p[:n])
	m.n += int64(n)
	if m.spend != nil {
		if e := m.spend(int64(n)); e != nil {
			return 0, e
		}
	}
	return n, err
}

// digest is the digest of what was read so far.
func (m *meter) digest() string { return "sha256:" + hex.EncodeToString(m.sum.Sum(nil)) }
