package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	plainExt  = ".log"
	sealedExt = ".log.zst"

	// blockBytes is the size of the blocks in which segments are read, compressed
	// and indexed. Several of the longest lines fit in one.
	blockBytes = 128 << 10
)

// segment is one file of a stream. Its name is the time of its first line.
type segment struct {
	dir   string
	first int64 // nanoseconds since 1970
	plain bool
	size  int64     // bytes on disk when it was listed
	mtime time.Time // at or after its last line's time
}

func (s segment) path() string {
	ext := sealedExt
	if s.plain {
		ext = plainExt
	}
	return segmentPath(s.dir, s.first, ext)
}

func segmentPath(dir string, first int64, ext string) string {
	return filepath.Join(dir, fmt.Sprintf("%019d%s", first, ext))
}

// segments lists a stream's segments, oldest first. A stream without a directory
// has none, and those that cannot be read are left out.
func segments(dir string, pass *passer) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		if err := pass.over(dir, err); err != nil {
			return nil, err
		}
	}
	var list []segment
	for _, e := range entries {
		s, ok := parseSegment(dir, e.Name())
		if !ok || e.IsDir() {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			if err := pass.over(filepath.Join(dir, e.Name()), err); err != nil {
				return nil, err
			}
			continue
		}
		s.size, s.mtime = info.Size(), info.ModTime()
		// While a segment is sealed both forms exist; the plain one is complete.
		if n := len(list); n > 0 && list[n-1].first == s.first {
			if s.plain {
				list[n-1] = s
			}
			continue
		}
		list = append(list, s)
	}
	return list, nil
}

func parseSegment(dir, name string) (segment, bool) {
	s := segment{dir: dir}
	digits, ok := strings.CutSuffix(name, sealedExt)
	if !ok {
		digits, s.plain = strings.CutSuffix(name, plainExt)
	}
	if len(digits) != 19 || !ok && !s.plain {
		return s, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	s.first = n
	return s, err == nil && n >= 0
}

// content reads a segment by positions in its plain form.
type content interface {
	// block returns complete lines from off on, about blockBytes at most, and the
	// position after them. No lines and no error mean that there are no more now.
	// Damaged parts are skipped.
	block(off int64) (lines []byte, next int64, err error)

	// blockBefore returns complete lines that end at off, and the position of the
	// first. No lines mean that off is the beginning.
	blockBefore(off int64) (lines []byte, first int64, err error)

	// end returns the position after the last complete line.
	end() (int64, error)

	// seek returns the position of a line such that all lines before it are
	// older than the encoded time at.
	seek(at []byte) (int64, error)

	Close() error
}

// open opens the segment named first, in either form. It returns nil if the segment was
// removed or cannot be read.
func open(dir string, first int64, pass *passer) (content, error) {
	// It may be sealed between two attempts, but never unsealed.
	for _, ext := range []string{plainExt, sealedExt} {
		path := segmentPath(dir, first, ext)
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && ext == plainExt {
			return &plainContent{f: f, path: path, pass: pass}, nil
		}
		if err == nil {
			var c *sealedContent
			if c, err = openSealed(f, pass); err == nil {
				return c, nil
			}
			f.Close()
		}
		return nil, pass.over(path, err)
	}
	return nil, nil
}

// plainFile is the part of a file that plainContent uses.
type plainFile interface {
	io.ReaderAt
	io.Closer
	Stat() (fs.FileInfo, error)
}

// plainContent is a segment that may still grow.
type plainContent struct {
	f    plainFile
	path string
	pass *passer

	damaged bool // a part of it could not be read
}

func (p *plainContent) passOver(err error) error {
	p.damaged = true
	return p.pass.over(p.path, err)
}

func (p *plainContent) Close() error { return p.f.Close() }

func (p *plainContent) size() (int64, error) {
	info, err := p.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (p *plainContent) readAt(off, n int64) ([]byte, error) {
	b := make([]byte, n)
	k, err := p.f.ReadAt(b, off)
	if err == io.EOF {
		err = nil
	}
	return b[:k], err
}

func (p *plainContent) block(off int64) ([]byte, int64, error) {
	for {
		b, err := p.readAt(off, blockBytes)
		if err != nil {
			if err := p.passOver(err); err != nil {
				return nil, off, err
			}
			size, err := p.size()
			if err != nil || off+blockBytes >= size {
				return nil, off, err
			}
			off += blockBytes
			continue
		}
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			return b[:i+1], off + int64(i) + 1, nil
		}
		if len(b) < blockBytes { // the end, or a line that is being written
			return nil, off, nil
		}
		off += blockBytes // no line is that long: damage
	}
}

func (p *plainContent) blockBefore(off int64) ([]byte, int64, error) {
	from := max(0, off-blockBytes)
	b, err := p.readAt(from, off-from)
	if err != nil {
		if err := p.passOver(err); err != nil || from == 0 {
			return nil, 0, err
		}
		return p.blockBefore(from)
	}
	if from == 0 || len(b) == 0 {
		return b, from, nil
	}
	// The first line here may have begun in the block before and then belongs to
	// it, unless damage fills this block.
	if i := bytes.IndexByte(b, '\n'); i >= 0 && i+1 < len(b) {
		return b[i+1:], from + int64(i) + 1, nil
	}
	return b, from, nil
}

func (p *plainContent) end() (int64, error) {
	size, err := p.size()
	if err != nil {
		return 0, err
	}
	for size > 0 {
		from := max(0, size-blockBytes)
		b, err := p.readAt(from, size-from)
		if err != nil {
			if err := p.passOver(err); err != nil {
				return 0, err
			}
		}
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			return from + int64(i) + 1, nil
		}
		size = from
	}
	return 0, nil
}

// seek is a binary search for a block. Damaged lines have no time; they only make
// the result earlier than necessary.
func (p *plainContent) seek(at []byte) (int64, error) {
	size, err := p.size()
	if err != nil {
		return 0, err
	}
	low, high := int64(0), size // the answer is at or after low
	for high-low > blockBytes {
		middle := low + (high-low)/2
		b, err := p.readAt(middle, 2*maxRecord)
		if err != nil {
			return low, p.passOver(err)
		}
		i := bytes.IndexByte(b, '\n') + 1
		if i == 0 || len(b) < i+timeWidth {
			return low, nil
		}
		line := b[i : i+timeWidth]
		if _, err := parseTime(line); err == nil && bytes.Compare(line, at) < 0 {
			low = middle + int64(i)
		} else {
			high = middle
		}
	}
	return low, nil
}

// lastLines returns the segment's parsable lines from its last block, oldest
// first, and the position after the last of them.
func lastLines(c content) ([]Line, int64, error) {
	off, err := c.end()
	if err != nil {
		return nil, 0, err
	}
	for off > 0 {
		b, from, err := c.blockBefore(off)
		if err != nil {
			return nil, 0, err
		}
		if len(b) == 0 {
			break
		}
		var lines []Line
		end := int64(0)
		for pos := from; len(b) > 0; {
			record, rest, _ := bytes.Cut(b, []byte{'\n'})
			pos += int64(len(b) - len(rest))
			b = rest
			if l, err := parse(record); err == nil {
				lines, end = append(lines, l), pos
			}
		}
		if len(lines) > 0 {
			return lines, end, nil
		}
		off = from
	}
	return nil, 0, nil
}

// newestFirst returns a copy of list in the opposite order.
func newestFirst(list []segment) []segment {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}
