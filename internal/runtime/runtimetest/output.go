package runtimetest

import (
	"time"

	"github.com/openslipway/slipway/internal/runtime"
)

// readAtMost is how much one Output call returns, as the contract says.
const readAtMost = 1 << 20

// output is what an instance wrote: the last kept bytes of it, in chunks.
type output struct {
	kept   int64
	chunks []runtime.Chunk
	end    int64 // position after the last byte
}

func (o *output) append(at time.Time, stderr bool, data []byte) {
	o.chunks = append(o.chunks, runtime.Chunk{Pos: o.end, At: at, Stderr: stderr, Data: data})
	o.end += int64(len(data))
	for len(o.chunks) > 1 && o.end-o.chunks[1].Pos >= o.kept {
		o.chunks = o.chunks[1:]
	}
}

// read returns what follows position from, and the position after it.
func (o *output) read(from int64) ([]runtime.Chunk, int64) {
	var out []runtime.Chunk
	next, size := from, 0
	for _, c := range o.chunks {
		if skip := from - c.Pos; skip > 0 {
			if skip >= int64(len(c.Data)) {
				continue
			}
			c.Pos, c.Data = from, c.Data[skip:]
		}
		if size+len(c.Data) > readAtMost && size > 0 {
			break
		}
		size += len(c.Data)
		next = c.Pos + int64(len(c.Data))
		out = append(out, c)
	}
	return out, next
}

// tail returns the last 2 KiB.
func (o *output) tail() string {
	var b []byte
	for i := len(o.chunks) - 1; i >= 0 && len(b) < 2048; i-- {
		b = append(append([]byte(nil), o.chunks[i].Data...), b...)
	}
	return string(b[max(0, len(b)-2048):])
}
