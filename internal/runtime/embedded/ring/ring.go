// Package ring keeps the last output of an instance in two files of bounded size,
// of which the older is overwritten when both are full. The instance's init appends;
// any number of processes read, without locks, by position in the output.
//
// A file begins with a header that holds its turn and the position of its first
// byte. Frames follow: a header, then data as the application wrote it. The writer
// fills one file, then empties the other and continues there. A reader whose data
// was overwritten sees that by the turn and starts again.
//
// The Writer is linked into the shim, so this package imports little, and writing
// allocates nothing.
package ring

import "encoding/binary"

const (
	fileHeaderSize  = 24
	frameHeaderSize = 24

	magic = 0x31474e52 // "RNG1"

	// MaxData is the most data of one frame, in bytes.
	MaxData = 64 << 10

	// MinSize is the least size of a file, in bytes, that New accepts.
	MinSize = fileHeaderSize + frameHeaderSize + MaxData
)

// fileHeader opens a file.
type fileHeader struct {
	turn  uint64 // of two files, the one with the higher turn is newer
	start int64  // position of the first frame
}

func (h fileHeader) put(b []byte) {
	binary.LittleEndian.PutUint32(b, magic)
	binary.LittleEndian.PutUint32(b[4:], 0)
	binary.LittleEndian.PutUint64(b[8:], h.turn)
	binary.LittleEndian.PutUint64(b[16:], uint64(h.start))
}

func parseFileHeader(b []byte) (h fileHeader, ok bool) {
	if len(b) < fileHeaderSize || binary.LittleEndian.Uint32(b) != magic {
		return h, false
	}
	h.turn = binary.LittleEndian.Uint64(b[8:])
	h.start = int64(binary.LittleEndian.Uint64(b[16:]))
	return h, h.turn > 0 && h.start >= 0
}

// Flags of a frame. Readers ignore those that they do not know.
const (
	flagStderr = 1 << iota
	flagFull
)

// frameHeader precedes a frame's data.
type frameHeader struct {
	size   int // of the data, 1 to MaxData
	stderr bool
	full   bool  // what is missing before it could not be written
	pos    int64 // position of the data's first byte
	at     int64 // Unix time in ns
}

func (h frameHeader) put(b []byte) {
	flags := uint32(0)
	if h.stderr {
		flags |= flagStderr
	}
	if h.full {
		flags |= flagFull
	}
	binary.LittleEndian.PutUint32(b, uint32(h.size))
	binary.LittleEndian.PutUint32(b[4:], flags)
	binary.LittleEndian.PutUint64(b[8:], uint64(h.pos))
	binary.LittleEndian.PutUint64(b[16:], uint64(h.at))
}

func parseFrameHeader(b []byte) (h frameHeader, ok bool) {
	if len(b) < frameHeaderSize {
		return h, false
	}
	h.size = int(binary.LittleEndian.Uint32(b))
	flags := binary.LittleEndian.Uint32(b[4:])
	h.stderr, h.full = flags&flagStderr != 0, flags&flagFull != 0
	h.pos = int64(binary.LittleEndian.Uint64(b[8:]))
	h.at = int64(binary.LittleEndian.Uint64(b[16:]))
	return h, h.size > 0 && h.size <= MaxData && h.pos >= 0
}
