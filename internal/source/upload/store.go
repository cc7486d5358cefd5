//go:build linux

package upload

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/atomicfile"
	"github.com/openslipway/slipway/internal/room"
)

// Store keeps the snapshots of one user in a directory that nothing else writes:
//
//	contents/ab/abcd...     a file's content by its SHA-256
//	snapshots/<id>.json     a manifest
//	incoming/...            contents that are being sent
//
// The time of a file is when it was last used: [Store.Collect] goes by it. It is safe
// for concurrent use.
//
// Users share no store. What one has sent spares another nothing, and a digest tells
// nobody whether somebody else has its content.
type Store struct {
	dir    string
	limits Limits

	// Held for writing by Collect: between what a client is told to be there and the
	// commit that needs it, nothing goes.
	collecting sync.RWMutex

	mu       sync.Mutex // guards what follows
	measured bool
	bytes    int64           // of all files
	contents int             // how many files there are, but for those of parts
	parts    map[string]part // by digest
}

// part is a content of which the beginning has come.
type part struct {
	size  int64 // that it has when it is complete
	have  int64 // bytes
	since time.Time
}

// Open makes the store's directory if it is missing, and removes what an
// interrupted upload left there.
func Open(dir string, limits Limits) (*Store, error) {
	s := &Store{dir: dir, limits: limits, parts: map[string]part{}}
	if err := s.MakeDirs(); err != nil {
		return nil, err
	}
	left, err := os.ReadDir(filepath.Join(dir, "incoming"))
	if err != nil {
		return nil, err
	}
	for _, e := range left {
		if err := os.Remove(filepath.Join(dir, "incoming", e.Name())); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// MakeDirs makes those of the store's directories that are missing: somebody may have
// removed one that was empty.
func (s *Store) MakeDirs() error {
	for _, d := range []string{"contents", "snapshots", "incoming"} {
		if err := os.MkdirAll(filepath.Join(s.dir, d), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// content returns the path of a content; digest has been checked.
func (s *Store) content(digest string) string {
	return filepath.Join(s.dir, "contents", digest[:2], digest)
}

func (s *Store) snapshot(id string) string { return filepath.Join(s.dir, "snapshots", id+".json") }

// Missing returns those of a manifest's digests whose contents must be sent. What
// is there counts as used now, so that a collection leaves it to the upload.
func (s *Store) Missing(m Manifest, now time.Time) ([]string, error) {
	if err := m.Check(s.limits); err != nil {
		return nil, err
	}
	s.collecting.RLock()
	defer s.collecting.RUnlock()
	return s.missing(m, now)
}

func (s *Store) missing(m Manifest, now time.Time) ([]string, error) {
	missing := []string{}
	for _, digest := range m.Digests() {
		err := os.Chtimes(s.content(digest), now, now)
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, digest)
		} else if err != nil {
			return nil, err
		}
	}
	return missing, nil
}

// Commit stores a manifest whose contents are all there, and returns its id. Otherwise
// it returns what is missing, and stores nothing. What it stored survives a power loss.
func (s *Store) Commit(m Manifest, now time.Time) (id string, missing []string, err error) {
	if err := m.Check(s.limits); err != nil {
		return "", nil, err
	}
	s.collecting.RLock()
	defer s.collecting.RUnlock()
	if missing, err = s.missing(m, now); err != nil || len(missing) > 0 {
		return "", missing, err
	}
	for _, f := range m.Files {
		if f.Link != "" {
			continue
		}
		info, err := os.Stat(s.content(f.Digest))
		if err != nil {
			return "", nil, err
		}
		if info.Size() != f.Size {
			return "", nil, refuse("The file %q has %d bytes, not %d as the manifest says.", f.Path, info.Size(), f.Size)
		}
	}
	id = m.ID()
	if _, err := s.Manifest(id); err == nil { // it is there already, with all that it needs
		return id, nil, os.Chtimes(s.snapshot(id), now, now)
	}
	// It is missing, or unreadable and written again.
	body, err := json.Marshal(m)
	if err != nil {
		return "", nil, err
	}
	if err := errors.Join(s.reserve(int64(len(body))), s.sync()); err != nil {
		return "", nil, err
	}
	return id, nil, atomicfile.Write(s.snapshot(id), body, 0o600)
}

// sync makes all contents survive a power loss: one call for all of them, as there may
// be thousands of new ones.
func (s *Store) sync() error {
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return os.NewSyscallError("syncfs", err)
	}
	return nil
}

// Manifest returns a snapshot's manifest.
func (s *Store) Manifest(id string) (Manifest, error) {
	var m Manifest
	if !digestForm.MatchString(id) {
		return m, slipway.Errorf(slipway.NotFound, "There is no snapshot %.100q.", id)
	}
	body, err := os.ReadFile(s.snapshot(id))
	if errors.Is(err, fs.ErrNotExist) {
		return m, slipway.Errorf(slipway.NotFound, "There is no snapshot %s. It may have been collected; upload the directory again.", id)
	}
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return m, fmt.Errorf("read snapshot %s: %w", id, err)
	}
	return m, nil
}

// Materialize makes dir, which must not exist, of a snapshot. All files get the time
// t: it is no part of a snapshot.
func (s *Store) Materialize(ctx context.Context, id, dir string, t time.Time) (err error) {
	m, err := s.Manifest(id)
	if err != nil {
		return err
	}
	if err := m.Check(s.limits); err != nil {
		return err
	}
	if err := room.Check(filepath.Dir(dir), m.Bytes()); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, f := range m.Files {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := s.write(root, f, t); err != nil {
			return fmt.Errorf("make %s of snapshot %s: %w", f.Path, id, err)
		}
	}
	if err := setTimes(root, t); err != nil {
		return err
	}
	now := time.Now()
	return os.Chtimes(s.snapshot(id), now, now)
}

// write makes one file. Links come to be like files, and no later file lies below
// one: the manifest was checked for that, and root refuses what leaves it.
func (s *Store) write(root *os.Root, f File, t time.Time) error {
	if dir := filepath.Dir(f.Path); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if f.Link != "" {
		return root.Symlink(f.Link, f.Path)
	}
	mode := os.FileMode(0o644)
	if f.Executable {
		mode = 0o755
	}
	from, err := os.Open(s.content(f.Digest))
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := root.OpenFile(f.Path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(to, h), from)
	if err := errors.Join(err, to.Chmod(mode), to.Close()); err != nil {
		return err
	}
	if hex.EncodeToString(h.Sum(nil)) != f.Digest { // after a power loss, say
		return errors.Join(fmt.Errorf("the content %s is damaged", f.Digest), os.Remove(s.content(f.Digest)))
	}
	return root.Chtimes(f.Path, t, t)
}

// setTimes gives the directories their time, deepest first.
func setTimes(root *os.Root, t time.Time) error {
	var dirs []string
	err := fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, p)
		}
		return err
	})
	for i := len(dirs) - 1; i >= 0 && err == nil; i-- {
		err = root.Chtimes(dirs[i], t, t)
	}
	return err
}

// Collect removes the snapshots that were last used before a time, unless keep says
// that a service needs them, and then the contents that no snapshot has and that no
// upload has used since. It returns how many bytes it freed. Contents that did not come
// completely go, too, if they began before that time.
func (s *Store) Collect(before time.Time, keep func(id string) bool) (freed int64, err error) {
	s.collecting.Lock()
	defer s.collecting.Unlock()
	defer s.forget(before)
	entries, err := os.ReadDir(filepath.Join(s.dir, "snapshots"))
	if err != nil {
		return 0, err
	}
	needed := map[string]bool{}
	var unread []error
	for _, e := range entries {
		id := strings.TrimSuffix(e.Name(), ".json")
		if !digestForm.MatchString(id) {
			continue
		}
		info, err := e.Info()
		if err == nil && info.ModTime().Before(before) && !keep(id) {
			err = os.Remove(s.snapshot(id))
			if err == nil {
				continue
			}
		}
		var m Manifest
		if err == nil {
			m, err = s.Manifest(id)
		}
		if err != nil {
			unread = append(unread, err)
			continue
		}
		for _, digest := range m.Digests() {
			needed[digest] = true
		}
	}
	if len(unread) > 0 { // they may need any content
		return freed, errors.Join(unread...)
	}
	err = filepath.WalkDir(filepath.Join(s.dir, "contents"), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || needed[d.Name()] {
			return err
		}
		info, err := d.Info()
		if err != nil || !info.ModTime().Before(before) {
			return err
		}
		freed += info.Size()
		return os.Remove(p)
	})
	return freed, err
}
