package logs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"
)

// A sealed segment is one zstd frame per block of lines, then a skippable
// frame with the index: for each block an entry of entryBytes, then a footer
// of footerBytes (number of entries, checksum of the entries, magic).
const (
	skippableMagic = 0x184D2A5E
	entryBytes     = 16 // compressed size, plain size, time of the first line
	footerBytes    = 16
	footerMagic    = "SLWYLOG1"

	// maxBlocks bounds what a damaged footer can make a reader allocate.
	maxBlocks = 1 << 16
)

// block is one compressed part of a sealed segment.
type block struct {
	at          int64 // time of its first line, nanoseconds since 1970
	plain       int64 // position in the plain segment
	plainSize   int64
	offset      int64 // position in the file
	offsetBytes int64
}

// sealedContent is a segment that is closed.
type sealedContent struct {
	f       io.ReaderAt
	closer  io.Closer
	blocks  []block
	decoder *zstd.Decoder
	path    string
	pass    *passer
}

var errSealed = errors.New("not a sealed log segment")

func openSealed(f *os.File, pass *passer) (*sealedContent, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	c, err := newSealedContent(f, info.Size(), f)
	if err != nil {
		return nil, err
	}
	c.path, c.pass = f.Name(), pass
	return c, nil
}

func newSealedContent(f io.ReaderAt, size int64, closer io.Closer) (*sealedContent, error) {
	blocks, err := readIndex(f, size)
	if err != nil {
		return nil, err
	}
	// A block fits in the window; a frame that claims more is damaged.
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(2*blockBytes), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	return &sealedContent{f: f, closer: closer, blocks: blocks, decoder: d}, nil
}

func readIndex(f io.ReaderAt, size int64) ([]block, error) {
	if size < footerBytes+8 {
		return nil, errSealed
	}
	var footer [footerBytes]byte
	if _, err := f.ReadAt(footer[:], size-footerBytes); err != nil {
		return nil, err
	}
	n := int64(binary.LittleEndian.Uint32(footer[:]))
	if string(footer[8:]) != footerMagic || n > maxBlocks || n*entryBytes+footerBytes+8 > size {
		return nil, errSealed
	}
	entries := make([]byte, n*entryBytes)
	begin := size - footerBytes - int64(len(entries)) - 8
	if _, err := f.ReadAt(entries, begin+8); err != nil {
		return nil, err
	}
	if crc32.ChecksumIEEE(entries) != binary.LittleEndian.Uint32(footer[4:]) {
		return nil, errSealed
	}
	blocks := make([]block, 0, n)
	var plain, offset int64
	for e := range slices.Chunk(entries, entryBytes) {
		b := block{
			offset:      offset,
			offsetBytes: int64(binary.LittleEndian.Uint32(e)),
			plain:       plain,
			plainSize:   int64(binary.LittleEndian.Uint32(e[4:])),
			at:          int64(binary.LittleEndian.Uint64(e[8:])),
		}
		if b.plainSize > blockBytes || b.offsetBytes > 2*blockBytes {
			return nil, errSealed
		}
		offset += b.offsetBytes
		plain += b.plainSize
		blocks = append(blocks, b)
	}
	if offset != begin {
		return nil, errSealed
	}
	return blocks, nil
}

func (s *sealedContent) Close() error {
	s.decoder.Close()
	return s.closer.Close()
}

func (s *sealedContent) decode(b block) ([]byte, error) {
	packed := make([]byte, b.offsetBytes)
	if _, err := s.f.ReadAt(packed, b.offset); err != nil {
		return nil, err
	}
	lines, err := s.decoder.DecodeAll(packed, make([]byte, 0, b.plainSize))
	if err != nil {
		return nil, err
	}
	if int64(len(lines)) != b.plainSize {
		return nil, errSealed
	}
	return lines, nil
}

func (s *sealedContent) block(off int64) ([]byte, int64, error) {
	for _, b := range s.blocks {
		if off >= b.plain+b.plainSize {
			continue
		}
		lines, err := s.decode(b)
		if err != nil {
			if err := s.pass.over(s.path, err); err != nil {
				return nil, off, err
			}
			continue
		}
		return lines[max(0, off-b.plain):], b.plain + b.plainSize, nil
	}
	return nil, off, nil
}

func (s *sealedContent) blockBefore(off int64) ([]byte, int64, error) {
	for _, b := range slices.Backward(s.blocks) {
		if off <= b.plain {
			continue
		}
		lines, err := s.decode(b)
		if err != nil {
			if err := s.pass.over(s.path, err); err != nil {
				return nil, off, err
			}
			continue
		}
		return lines[:min(off-b.plain, b.plainSize)], b.plain, nil
	}
	return nil, 0, nil
}

func (s *sealedContent) end() (int64, error) {
	if len(s.blocks) == 0 {
		return 0, nil
	}
	last := s.blocks[len(s.blocks)-1]
	return last.plain + last.plainSize, nil
}

func (s *sealedContent) seek(at []byte) (int64, error) {
	t, err := parseTime(at)
	if err != nil {
		return 0, err
	}
	// Lines with this time may be at the end of the block before the first block
	// that begins with it.
	i, _ := slices.BinarySearchFunc(s.blocks, t.UnixNano(), func(b block, t int64) int {
		if b.at < t {
			return -1
		}
		return 1
	})
	if i == 0 {
		return 0, nil
	}
	return s.blocks[i-1].plain, nil
}

// seal compresses a closed segment: it writes the compressed form beside the plain
// one, syncs it, and removes the plain one. It may be repeated after a crash at
// any point.
func seal(dir string, first int64) error {
	plain := segmentPath(dir, first, plainExt)
	f, err := os.Open(plain)
	if err != nil {
		return err
	}
	defer f.Close()
	target := segmentPath(dir, first, sealedExt)
	tmp := target + ".tmp"
	last, err := writeSealedFile(&plainContent{f: f}, tmp)
	if err == nil {
		// The file's time is that of its last line, for readers and limits.
		err = os.Chtimes(tmp, last, last)
	}
	if err == nil {
		err = os.Rename(tmp, target)
	}
	if err != nil {
		os.Remove(tmp)
		return fmt.Errorf("compress log segment %s: %w", plain, err)
	}
	return os.Remove(plain)
}

// writeSealedFile writes the sealed form of c to a new file, all of it on disk
// on return, and returns its last line's time.
func writeSealedFile(c content, path string) (time.Time, error) {
	f, err := os.Create(path)
	if err != nil {
		return time.Time{}, err
	}
	last, err := writeSealed(c, f)
	return last, errors.Join(err, f.Sync(), f.Close())
}

func writeSealed(c content, out io.Writer) (last time.Time, err error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(blockBytes), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return last, err
	}
	defer enc.Close()
	var index, packed []byte
	for off := int64(0); ; {
		lines, next, err := c.block(off)
		if err != nil {
			return last, err
		}
		if len(lines) == 0 {
			break
		}
		off = next
		first, latest := times(lines)
		if !latest.IsZero() {
			last = latest
		}
		packed = enc.EncodeAll(lines, packed[:0])
		if _, err := out.Write(packed); err != nil {
			return last, err
		}
		index = binary.LittleEndian.AppendUint32(index, uint32(len(packed)))
		index = binary.LittleEndian.AppendUint32(index, uint32(len(lines)))
		index = binary.LittleEndian.AppendUint64(index, uint64(first))
	}
	_, err = out.Write(indexFrame(index))
	return last, err
}

func indexFrame(entries []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, skippableMagic)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(entries)+footerBytes))
	b = append(b, entries...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(entries)/entryBytes))
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(entries))
	return append(b, footerMagic...)
}

// times returns the times of the first undamaged line, in nanoseconds (0 if there
// is none), and of the last. Damaged lines are kept, so that positions do not
// change.
func times(lines []byte) (first int64, last time.Time) {
	for record := range bytes.Lines(lines) {
		if len(record) < timeWidth {
			continue
		}
		at, err := parseTime(record[:timeWidth])
		if err != nil {
			continue
		}
		if last.IsZero() {
			first = at.UnixNano()
		}
		last = at
	}
	return first, last
}
