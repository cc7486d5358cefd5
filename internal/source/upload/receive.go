//go:build linux

package upload

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/room"
)

// ErrFull is returned for a content that does not fit into the store. A collection may
// make room.
var ErrFull = errors.New("the store of uploads is full")

// Put stores a content, or a part of one: size is that of all of it, and offset is where
// data belongs. Parts come in order; one at 0 begins anew. Put reports whether the
// content is complete now. It is refused if it is not what the digest says, or larger
// than a file may be, and stays out of what can be read until it is complete. It is a
// *room.Error if the disk has only its reserve left.
func (s *Store) Put(digest string, size, offset int64, data []byte, now time.Time) (complete bool, err error) {
	end := offset + int64(len(data))
	switch {
	case !digestForm.MatchString(digest):
		return false, refuse("The digest %.100q is not 64 hexadecimal digits in lower case.", digest)
	case size < 0 || offset < 0 || offset > size || end > size:
		return false, refuse("A part of %d bytes at %d is not a part of a file of %d bytes.", len(data), offset, size)
	case size > s.limits.File:
		return false, refuse("A file of the upload has more than %d MiB.", s.limits.File>>20)
	case len(data) == 0 && size > 0:
		return false, refuse("A part of the file %s is empty.", digest)
	}
	s.collecting.RLock()
	defer s.collecting.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.measure(); err != nil {
		return false, err
	}
	if err := s.append(digest, size, offset, data, now); err != nil {
		return false, err
	}
	if end < size {
		return false, nil
	}
	return true, s.complete(digest)
}

func (s *Store) incoming(digest string) string { return filepath.Join(s.dir, "incoming", digest) }

// append adds data to the incoming file of a content. The caller holds s.mu.
func (s *Store) append(digest string, size, offset int64, data []byte, now time.Time) error {
	p, begun := s.parts[digest]
	if offset == 0 && begun {
		if err := s.drop(digest); err != nil {
			return err
		}
		p = part{}
	}
	switch {
	case offset > 0 && (!begun || p.size != size || p.have != offset):
		return slipway.Errorf(slipway.InvalidState, "The part at %d of the file %s does not follow what has come. Send the file again from its beginning.", offset, digest)
	case s.full(int64(len(data))):
		return ErrFull
	}
	if err := room.Check(s.dir, int64(len(data))); err != nil {
		return errors.Join(err, s.drop(digest)) // it would hold what it has for nothing
	}
	if offset == 0 {
		p = part{size: size, since: now}
	}
	f, err := os.OpenFile(s.incoming(digest), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	n, err := f.Write(data)
	p.have += int64(n)
	s.bytes += int64(n)
	s.parts[digest] = p
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("keep a file of an upload: %w", err), s.drop(digest))
	}
	return nil
}

// complete checks a content that has come, and makes it one of the store's. The caller
// holds s.mu.
func (s *Store) complete(digest string) error {
	have, err := digestOf(s.incoming(digest))
	if err != nil {
		return errors.Join(err, s.drop(digest))
	}
	if have != digest {
		return errors.Join(s.drop(digest),
			refuse("The content that was sent for %s is another one. Was the file changed during the upload? Upload it again.", digest))
	}
	if err := os.MkdirAll(filepath.Dir(s.content(digest)), 0o700); err != nil {
		return errors.Join(err, s.drop(digest))
	}
	again := true
	if _, err := os.Lstat(s.content(digest)); errors.Is(err, fs.ErrNotExist) {
		again = false
	}
	if err := os.Rename(s.incoming(digest), s.content(digest)); err != nil {
		return errors.Join(err, s.drop(digest))
	}
	if again {
		s.bytes -= s.parts[digest].size
	} else {
		s.contents++
	}
	delete(s.parts, digest)
	return nil
}

// drop removes what has come of a content. The caller holds s.mu.
func (s *Store) drop(digest string) error {
	s.bytes -= s.parts[digest].have
	delete(s.parts, digest)
	if err := os.Remove(s.incoming(digest)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// measure counts what is stored, once. The caller holds s.mu.
func (s *Store) measure() error {
	if s.measured {
		return nil
	}
	s.bytes, s.contents = 0, 0
	for _, p := range s.parts {
		s.bytes += p.have
	}
	for _, dir := range []string{"contents", "snapshots"} {
		err := filepath.WalkDir(filepath.Join(s.dir, dir), func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			s.bytes += info.Size()
			s.contents++
			return nil
		})
		if err != nil {
			return err
		}
	}
	s.measured = true
	return nil
}

// reserve counts a file of that size as stored, or returns ErrFull.
func (s *Store) reserve(size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.measure(); err != nil {
		return err
	}
	if s.full(size) {
		return ErrFull
	}
	s.bytes += size
	s.contents++
	return nil
}

// full reports whether there is no room for so many bytes more, or for no file more.
func (s *Store) full(more int64) bool {
	return s.limits.Stored > 0 && s.bytes+more > s.limits.Stored || s.contents+len(s.parts) >= storedPerFile*s.limits.Files
}

// forget drops the parts that began before a time, and lets the next Put measure anew.
func (s *Store) forget(before time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for digest, p := range s.parts {
		if p.since.Before(before) {
			_ = s.drop(digest) // the next start does
		}
	}
	s.measured = false
}

// digestOf returns the SHA-256 of a file, in hexadecimal.
func digestOf(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
