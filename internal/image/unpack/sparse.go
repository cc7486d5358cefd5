package unpack

import (
	"bytes"
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// content writes the content of a regular file of size bytes. Blocks of zeros become
// holes, whether the tar has them as holes or as zeros; only other blocks count as
// written.
func (t *tree) content(fd int, r io.Reader, size int64) error {
	for at := int64(0); at < size; {
		n, err := io.ReadFull(r, t.buf[:min(int64(len(t.buf)), size-at)])
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if err := t.blocks(fd, t.buf[:n], at); err != nil {
			return err
		}
		at += int64(n)
	}
	return unix.Ftruncate(fd, size)
}

// blocks writes the blocks of p that are not only zeros, as few runs. at is a multiple
// of a block's size.
func (t *tree) blocks(fd int, p []byte, at int64) error {
	for len(p) > 0 {
		hole := t.run(p, true)
		p, at = p[hole:], at+int64(hole)
		data := t.run(p, false)
		if data == 0 {
			continue
		}
		if err := t.spend(Cost{Written: int64(data+block-1) / block * block}); err != nil {
			return err
		}
		if err := writeAt(fd, p[:data], at); err != nil {
			return err
		}
		p, at = p[data:], at+int64(data)
	}
	return nil
}

// run returns how many bytes at the beginning of p are whole blocks of zeros, or are not.
func (t *tree) run(p []byte, zero bool) int {
	n := 0
	for n < len(p) {
		b := p[n:min(n+block, len(p))]
		if bytes.Equal(b, t.zeros[:len(b)]) != zero {
			break
		}
		n += len(b)
	}
	return n
}

// writeAt writes to a descriptor. An os.File per entry would cost an allocation and a
// finalizer each.
func writeAt(fd int, p []byte, at int64) error {
	for len(p) > 0 {
		n, err := unix.Pwrite(fd, p, at)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		p, at = p[n:], at+int64(n)
	}
	return nil
}
