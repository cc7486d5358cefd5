package http1

import "errors"

// ErrChunk is returned for a chunked body whose framing breaks RFC 9112.
var ErrChunk = errors.New("malformed chunked body")

// Limits of a chunked body's framing.
const (
	maxChunkDigits = 15      // in a chunk size, which is therefore less than 2^60 bytes
	maxChunkExt    = 256     // bytes in the extensions of one chunk
	maxTrailer     = 4 << 10 // bytes in the trailer section
)

// ChunkScanner parses the framing of a chunked body that arrives in pieces and
// finds its end. The zero value is ready for the first byte of a body.
type ChunkScanner struct {
	state chunkState
	left  int64 // bytes left in the chunk; while the size is read, the size so far
	count int   // bytes of the current size, extension or trailer section
}

type chunkState uint8

const (
	chunkSize chunkState = iota
	chunkExt
	chunkSizeLF
	chunkData
	chunkDataCR
	chunkDataLF
	trailerStart
	trailerName
	trailerValue
	trailerLF
	trailerEndLF
	chunkDone
)

// Feed parses the next bytes of the body and returns how many of them belong to
// it. done reports that the body is complete. err is ErrChunk; the scanner must
// not be used after an error.
func (c *ChunkScanner) Feed(b []byte) (n int, done bool, err error) {
	for n < len(b) && c.state != chunkDone {
		if c.state == chunkData {
			k := min(c.left, int64(len(b)-n))
			n += int(k)
			if c.left -= k; c.left == 0 {
				c.state = chunkDataCR
			}
			continue
		}
		if !c.step(b[n]) {
			return n, false, ErrChunk
		}
		n++
	}
	return n, c.state == chunkDone, nil
}

// step parses one byte that is not chunk data and reports whether the grammar
// allows it.
func (c *ChunkScanner) step(b byte) bool {
	switch c.state {
	case chunkSize:
		return c.size(b)
	case chunkExt:
		c.count++
		if b == '\r' {
			c.state = chunkSizeLF
			return true
		}
		return isValue([]byte{b}) && c.count <= maxChunkExt
	case chunkSizeLF:
		c.count = 0
		if c.state = chunkData; c.left == 0 {
			c.state = trailerStart
		}
		return b == '\n'
	case chunkDataCR:
		c.state = chunkDataLF
		return b == '\r'
	case chunkDataLF:
		c.state = chunkSize
		return b == '\n'
	}
	return c.trailer(b)
}

func (c *ChunkScanner) size(b byte) bool {
	if isHex(b) {
		c.left = c.left<<4 | int64(hexDigit(b))
		c.count++
		return c.count <= maxChunkDigits
	}
	if c.count == 0 {
		return false
	}
	c.count = 0
	switch b {
	case '\r':
		c.state = chunkSizeLF
	case ';':
		c.state = chunkExt
	default:
		return false
	}
	return true
}

func (c *ChunkScanner) trailer(b byte) bool {
	c.count++
	switch c.state {
	case trailerStart:
		c.state = trailerName
		if b == '\r' {
			c.state = trailerEndLF
			return true
		}
		return isToken([]byte{b})
	case trailerName:
		if b == ':' {
			c.state = trailerValue
			return true
		}
		return isToken([]byte{b}) && c.count <= maxTrailer
	case trailerValue:
		if b == '\r' {
			c.state = trailerLF
			return true
		}
		return isValue([]byte{b}) && c.count <= maxTrailer
	case trailerLF:
		c.state = trailerStart
		return b == '\n'
	case trailerEndLF:
		c.state = chunkDone
		return b == '\n'
	}
	return false
}

func hexDigit(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}
