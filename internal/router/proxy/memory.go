package proxy

import "sync/atomic"

// maxGrown is the memory that all heads may take together which do not fit into a buffer of
// a pool: that of 512 requests with the largest head that is allowed. Without a bound each
// connection could hold as much without ever sending a request.
const maxGrown = 64 << 20

// memory bounds what large heads take of all connections.
type memory struct {
	most int64 // bytes
	used atomic.Int64
}

// take reports whether n bytes are left, and takes them.
func (m *memory) take(n int) bool {
	if m.used.Add(int64(n)) <= m.most {
		return true
	}
	m.used.Add(-int64(n))
	return false
}

func (m *memory) give(n int) { m.used.Add(-int64(n)) }
