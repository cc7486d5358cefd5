// Package backup reads and writes the file of `slipway backup`: a tar of regular files
// between a header and a list of their checksums.
//
// It does not know what a server's state is: internal/daemon, its only caller, says
// which files are in a backup and where they may go. It does not trust what it reads.
package backup

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Format is the version of the format that is written, and the newest that is read.
const Format = 1

// Names of the first and the last entry.
const (
	headerName = "slipway-backup.json"
	sumsName   = "checksums.json"
)

// Header is what a backup says of itself.
type Header struct {
	Format  int       `json:"format"`
	Slipway string    `json:"slipway"` // version of the program that wrote it
	Schema  int64     `json:"schema"`  // of the database in it
	At      time.Time `json:"at"`
	Key     bool      `json:"key"` // it has the master key

	// Files and Bytes are what the backup was to have when it was begun. A file that is
	// removed or replaced while it is written changes them a little.
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

// sum is a line of the last entry.
type sum struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	Void   bool   `json:"void,omitempty"` // the file went while it was read: there is none
}

// Writer writes a backup.
type Writer struct {
	t    *tar.Writer
	at   time.Time
	sums []sum
}

// NewWriter writes the header.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	h.Format = Format
	b, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	out := &Writer{t: tar.NewWriter(w), at: h.At}
	return out, out.entry(headerName, b)
}

func (w *Writer) entry(name string, content []byte) error {
	if err := w.t.WriteHeader(w.header(name, int64(len(content)))); err != nil {
		return err
	}
	_, err := w.t.Write(content)
	return err
}

func (w *Writer) header(name string, size int64) *tar.Header {
	return &tar.Header{Name: name, Size: size, Mode: 0o600, Typeflag: tar.TypeReg, ModTime: w.at, Format: tar.FormatPAX}
}

// Add writes a file of exactly size bytes. If content fails or ends early, Add returns
// that error and the backup is as if the file had not been added.
func (w *Writer) Add(name string, size int64, content io.Reader) error {
	if err := w.t.WriteHeader(w.header(name, size)); err != nil {
		return err
	}
	h := sha256.New()
	both := io.MultiWriter(w.t, h)
	n, failed := io.CopyN(both, content, size)
	if failed != nil { // the entry has begun: it must have its length
		if _, err := io.CopyN(both, zeros{}, size-n); err != nil {
			return fmt.Errorf("back up %s: %w", name, errors.Join(err, failed))
		}
	}
	w.sums = append(w.sums, sum{name, size, hex.EncodeToString(h.Sum(nil)), failed != nil})
	if failed != nil {
		return fmt.Errorf("back up %s: %w", name, failed)
	}
	return nil
}

// zeros is an endless reader.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Close writes the checksums. Without them a backup is incomplete.
func (w *Writer) Close() error {
	b, err := json.Marshal(w.sums)
	if err != nil {
		return err
	}
	return errors.Join(w.entry(sumsName, b), w.t.Close())
}
