package proxy

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// block is a buffer of a request in flight. Connections that wait have none.
type block [16 << 10]byte

// headBlock is a buffer for the head of a request. A larger head gets memory of its own.
type headBlock [4 << 10]byte

var (
	blocks     = sync.Pool{New: func() any { return new(block) }}
	headBlocks = sync.Pool{New: func() any { return new(headBlock) }}
)

// buffer is memory of a pool, which free gives back.
type buffer interface {
	bytes() []byte
	free()
}

func takeBlock() buffer { return blocks.Get().(*block) }
func takeHead() buffer  { return headBlocks.Get().(*headBlock) }

func (b *block) bytes() []byte     { return b[:] }
func (b *block) free()             { blocks.Put(b) }
func (b *headBlock) bytes() []byte { return b[:] }
func (b *headBlock) free()         { headBlocks.Put(b) }

func appendHex(b []byte, n int) []byte { return strconv.AppendInt(b, int64(n), 16) }

// clock is the time of one second as in a Date field.
type clock struct {
	second int64
	text   []byte
}

// dates keeps the last Date that was made.
type dates struct{ last atomic.Pointer[clock] }

func (d *dates) at(t time.Time) []byte {
	c := d.last.Load()
	if s := t.Unix(); c == nil || c.second != s {
		c = &clock{s, t.UTC().AppendFormat(nil, "Mon, 02 Jan 2006 15:04:05 GMT")}
		d.last.Store(c)
	}
	return c.text
}
