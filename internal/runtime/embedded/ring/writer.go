package ring

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Writer appends to a ring. It is for one goroutine.
//
// Data that cannot be written (a full disk) is lost and leaves a gap in the
// positions: the application must never wait for a reader or for space. The next frame
// says why.
type Writer struct {
	fds  [2]int
	size int64 // most bytes in a file

	current int // index of the file being written
	header  fileHeader
	offset  int64 // in the current file, where the next frame goes
	pos     int64 // in the output
	full    bool  // what precedes pos was lost to a full disk

	frame [frameHeaderSize + MaxData]byte
}

// NewWriter begins a ring in two open, empty files of at most size bytes each.
func NewWriter(fd0, fd1 int, size int64) (*Writer, error) {
	if size < MinSize {
		return nil, errors.New("ring: files are too small for a frame")
	}
	w := &Writer{fds: [2]int{fd0, fd1}, size: size}
	return w, w.begin(0, 0)
}

// Space is where the data of the next frame goes before Append.
func (w *Writer) Space() []byte { return w.frame[frameHeaderSize:] }

// Append writes the first n bytes of Space as one frame. at is a Unix time in
// nanoseconds.
func (w *Writer) Append(n int, stderr bool, at int64) error {
	if n <= 0 {
		return nil
	}
	header := frameHeader{size: n, stderr: stderr, pos: w.pos, at: at}
	frame := w.frame[:frameHeaderSize+n]
	start := w.pos
	w.pos += int64(n)

	err := errFileFull
	if w.offset+int64(len(frame)) <= w.size {
		err = w.put(header, frame)
	}
	// When the file or the disk is full, old output makes room for new: first that
	// of the other file.
	for _, file := range [...]int{1 - w.current, w.current} {
		if err == nil {
			break
		}
		if err = w.begin(file, start); err == nil {
			err = w.put(header, frame)
		}
	}
	if err == nil {
		w.full = false
	}
	return err
}

// errFileFull says that the next frame belongs into the other file.
var errFileFull = errors.New("ring: the file is full")

// put writes a frame as a whole or not at all.
func (w *Writer) put(header frameHeader, frame []byte) error {
	header.full = w.full
	header.put(frame)
	n, err := unix.Pwrite(w.fds[w.current], frame, w.offset)
	if n == len(frame) {
		w.offset += int64(n)
		return nil
	}
	if err == nil {
		err = unix.ENOSPC
	}
	w.full = true
	if n > 0 {
		// A reader takes a frame cut short for one still being written.
		unix.Ftruncate(w.fds[w.current], w.offset)
	}
	return err
}

// begin empties a file and makes it the current one, beginning at position
// start.
func (w *Writer) begin(file int, start int64) error {
	header := fileHeader{turn: w.header.turn + 1, start: start}
	var b [fileHeaderSize]byte
	header.put(b[:])
	if file == w.current {
		w.offset = w.size // until it has a header, nothing may follow
	}
	if err := unix.Ftruncate(w.fds[file], 0); err != nil {
		return err
	}
	n, err := unix.Pwrite(w.fds[file], b[:], 0)
	if n != len(b) {
		w.full = true
		if err == nil {
			err = unix.ENOSPC
		}
		return err
	}
	w.current, w.header, w.offset = file, header, fileHeaderSize
	return nil
}
