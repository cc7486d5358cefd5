package http1

import (
	"bytes"
	"errors"
)

// ErrChunk is returned for a chunked body whose framing breaks RFC 9112.
var ErrChunk = errors.New("malformed chunked body")

// Limits of a chunked body's framing.
const (
	maxChunkDigits = 15      // in a chunk size, which is therefore less than 2^60 bytes
	maxChunkExt    = 256     // bytes in the extensions of one chunk
	maxTrailer     = 4 << 10 // bytes in the trailer section
)

// ChunkScanner parses the framing of a chunked body that arrives in pieces and
// finds its data and its end. The zero value is ready for the first byte of a body.
type ChunkScanner struct {
	// Lenient accepts two things that RFC 9112 forbids but that have one meaning: a bare LF
	// as the end of a line, and white space after a size. It is for responses, whose chunks
	// are written anew.
	Lenient bool

	state   chunkState
	left    int64  // bytes left in the chunk; while the size is read, the size so far
	count   int    // bytes of the current size, extension or trailer section
	trailer []byte // the lines of the trailer section
}

type chunkState uint8

const (
	chunkSize chunkState = iota
	chunkPad             // white space after a size
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

// Next parses bytes of the body up to the end of the first data among them. n is how many
// of them belong to the body; data is a part of them, and empty if they hold framing only.
// done reports that the body is complete. err is ErrChunk; the scanner must not be used
// after an error.
func (c *ChunkScanner) Next(b []byte) (data []byte, n int, done bool, err error) {
	for n < len(b) && c.state != chunkDone {
		if c.state == chunkData {
			k := int(min(c.left, int64(len(b)-n)))
			if c.left -= int64(k); c.left == 0 {
				c.state = chunkDataCR
			}
			return b[n : n+k], n + k, false, nil
		}
		if !c.step(b[n]) {
			return nil, n, false, ErrChunk
		}
		n++
	}
	return nil, n, c.state == chunkDone, nil
}

// Trailer returns the fields that followed the body, once it is complete. They point into
// memory of the scanner.
func (c *ChunkScanner) Trailer() (fields []Field) {
	for rest := c.trailer; ; {
		var line []byte
		line, rest = cutLenient(rest)
		colon := bytes.IndexByte(line, ':')
		if colon < 0 {
			return fields
		}
		fields = append(fields, Field{Name: line[:colon], Value: trim(line[colon+1:]), Kind: KindOf(line[:colon])})
	}
}

// step parses one byte that is not chunk data and reports whether the grammar
// allows it.
func (c *ChunkScanner) step(b byte) bool {
	if !c.Lenient || b != '\n' {
		return c.strict(b)
	}
	switch c.state {
	case chunkSizeLF, chunkDataLF, trailerLF, trailerEndLF:
	default:
		if !c.strict('\r') {
			return false
		}
	}
	return c.strict('\n')
}

// strict is step for a byte that the grammar has a place for.
func (c *ChunkScanner) strict(b byte) bool {
	switch c.state {
	case chunkSize:
		return c.size(b)
	case chunkPad:
		if b == ' ' || b == '\t' {
			c.count++
			return c.count <= maxChunkExt
		}
		return c.sizeEnd(b)
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
	return c.trailerByte(b)
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
	if c.Lenient && (b == ' ' || b == '\t') {
		c.state = chunkPad
		return true
	}
	return c.sizeEnd(b)
}

// sizeEnd parses what ends a size.
func (c *ChunkScanner) sizeEnd(b byte) bool {
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

func (c *ChunkScanner) trailerByte(b byte) bool {
	c.count++
	c.trailer = append(c.trailer, b)
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
