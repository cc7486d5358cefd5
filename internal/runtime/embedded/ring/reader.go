package ring

import "io"

// Chunk is one frame, or the part of it that was asked for.
type Chunk struct {
	Pos    int64
	At     int64 // Unix time in ns
	Stderr bool
	Full   bool // what is missing before it was lost to a full disk
	Data   []byte
}

// Reader reads a ring while it may be written. It is for one goroutine. It remembers
// where it stopped, so that the next Read needs no search.
type Reader struct {
	files [2]io.ReaderAt
	last  place
}

// NewReader reads the ring in these two files.
func NewReader(files [2]io.ReaderAt) *Reader { return &Reader{files: files} }

// place is where a position of the output is in the files. Its turn is 0 if the
// position is in neither.
type place struct {
	file   int
	turn   uint64
	offset int64
	pos    int64
}

const (
	// Files are read in blocks: a small one first, as most reads find little,
	// then large ones, which have room for a frame at least.
	smallBlock = 8 << 10
	largeBlock = 2 * (frameHeaderSize + MaxData)

	// maxRestarts is how often one Read starts again because the writer overwrote
	// what it was reading. After that it returns what it has.
	maxRestarts = 8

	// chunkCost is what a chunk takes in memory beside its data, in bytes: the header
	// of its frame, which the data keeps in memory, and the Chunk, twice while a list
	// of them grows.
	chunkCost = frameHeaderSize + 3*64
)

// Read returns the output from position from on, oldest first, and the position to
// continue from. It stops at the end, or once the chunks take most bytes of memory or
// more, of which each takes some beside its data. It skips
// output that was overwritten: the first chunk's Pos is then larger than from.
func (r *Reader) Read(from int64, most int) (chunks []Chunk, next int64, err error) {
	c := &collector{next: from, most: most}
	at, err := r.locate(from)
	for restarts := 0; err == nil && at.turn > 0 && restarts < maxRestarts; {
		// Look for the following file before walking this one: nothing is added
		// to a file once the next one exists, so walk then sees its true end.
		following, ferr := r.following(at)
		if ferr != nil {
			return c.chunks, c.next, ferr
		}
		at, err = r.walk(at, c)
		if err == nil && at.turn == 0 {
			restarts++
			at, err = r.locate(c.next)
			continue
		}
		r.last = at
		if c.full() || following.turn == 0 {
			break
		}
		at = following
	}
	return c.chunks, c.next, err
}

// locate returns the place at which to start reading for a position.
func (r *Reader) locate(pos int64) (place, error) {
	newer, older, err := r.order()
	if err != nil {
		return place{}, err
	}
	if l := r.last; l.turn > 0 && l.pos == pos && (l.turn == newer.turn || l.turn == older.turn) {
		return l, nil
	}
	if older.turn > 0 && pos < newer.pos {
		return older, nil
	}
	return newer, nil
}

// order returns the starts of both files.
func (r *Reader) order() (newer, older place, err error) {
	for file := range r.files {
		h, err := r.head(file)
		if err != nil {
			return newer, older, err
		}
		at := place{file: file, turn: h.turn, offset: fileHeaderSize, pos: h.start}
		if older = at; at.turn > newer.turn {
			newer, older = at, newer
		}
	}
	return newer, older, nil
}

// following returns the start of the file after that of a place, the zero place if
// there is none yet.
func (r *Reader) following(at place) (place, error) {
	h, err := r.head(1 - at.file)
	if err != nil || h.turn <= at.turn {
		return place{}, err
	}
	return place{file: 1 - at.file, turn: h.turn, offset: fileHeaderSize, pos: h.start}, nil
}

// head returns a file's header. Its turn is 0 until the file is started.
func (r *Reader) head(file int) (fileHeader, error) {
	var b [fileHeaderSize]byte
	if _, err := r.files[file].ReadAt(b[:], 0); err == io.EOF {
		return fileHeader{}, nil
	} else if err != nil {
		return fileHeader{}, err
	}
	h, ok := parseFileHeader(b[:])
	if !ok {
		return fileHeader{}, nil
	}
	return h, nil
}

// walk collects the frames of one file from a place on and returns where it
// stopped: the zero place if the file was started again meanwhile.
func (r *Reader) walk(at place, c *collector) (place, error) {
	for size := smallBlock; !c.full() && r.more(at); size = largeBlock {
		b := make([]byte, size)
		n, err := r.files[at.file].ReadAt(b, at.offset)
		if err != nil && err != io.EOF {
			return place{}, err
		}
		// Only reading the header again proves that b is of the turn at.turn.
		if h, err := r.head(at.file); err != nil || h.turn != at.turn {
			return place{}, err
		}
		used := c.collect(b[:n], &at)
		if used == 0 && (n < size || size == largeBlock) {
			break // a frame that is being written, or that a killed writer left
		}
		at.offset += int64(used)
	}
	return at, nil
}

// more reports whether anything follows a place. Usually nothing does, and walk then
// needs no buffer.
func (r *Reader) more(at place) bool {
	var b [1]byte
	_, err := r.files[at.file].ReadAt(b[:], at.offset)
	return err == nil
}

// collector gathers chunks from position next on.
type collector struct {
	next int64
	most int

	chunks []Chunk
	size   int
}

func (c *collector) full() bool { return c.size >= c.most }

// collect takes whole frames from b until it has enough, moves at.pos past
// them, and returns how many bytes of b they are.
func (c *collector) collect(b []byte, at *place) (used int) {
	for !c.full() {
		h, ok := parseFrameHeader(b[used:])
		if !ok || len(b)-used < frameHeaderSize+h.size || h.pos < at.pos {
			break
		}
		data := b[used+frameHeaderSize:][:h.size:h.size]
		used += frameHeaderSize + h.size
		at.pos = h.pos + int64(h.size)
		if at.pos <= c.next {
			continue
		}
		if skip := c.next - h.pos; skip > 0 {
			h.pos, data = c.next, data[skip:]
		}
		c.chunks = append(c.chunks, Chunk{Pos: h.pos, At: h.at, Stderr: h.stderr, Full: h.full, Data: data})
		c.size += len(data) + chunkCost
		c.next = at.pos
	}
	return used
}
