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
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/atomicfile"
)

// Store keeps snapshots in a directory that nothing else writes:
//
//	contents/ab/abcd...     a file's content by its SHA-256
//	snapshots/<id>.json     a manifest
//
// The time of a file is when it was last used: [Store.Collect] goes by it.
type Store struct {
	dir    string
	limits Limits
}

// Open makes the store's directory if it is missing, and removes what an
// interrupted upload left there.
func Open(dir string, limits Limits) (*Store, error) {
	for _, d := range []string{"contents", "snapshots", "incoming"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, err
		}
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
	return &Store{dir: dir, limits: limits}, nil
}

// content returns the path of a content; digest has been checked.
func (s *Store) content(digest string) string {
	return filepath.Join(s.dir, "contents", digest[:2], digest)
}

func (s *Store) snapshot(id string) string { return filepath.Join(s.dir, "snapshots", id+".json") }

// Missing returns those of a manifest's digests whose contents must be sent. What
// is there counts as used now, so that a collection leaves it to the upload.
func (s *Store) Missing(m Manifest, now time.Time) ([]string, error) {
	if err := m.check(s.limits); err != nil {
		return nil, err
	}
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

// Put stores a content. It is refused if it is not what the digest says, or larger
// than a file may be.
func (s *Store) Put(digest string, r io.Reader) error {
	if !digestForm.MatchString(digest) {
		return refuse("The digest %.100q is not 64 hexadecimal digits in lower case.", digest)
	}
	f, err := os.CreateTemp(filepath.Join(s.dir, "incoming"), "content-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // does nothing after the rename
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(r, s.limits.File+1))
	switch {
	case err != nil:
		return fmt.Errorf("receive a file: %w", err)
	case n > s.limits.File:
		return refuse("A file of the upload has more than %d MiB.", s.limits.File>>20)
	case hex.EncodeToString(h.Sum(nil)) != digest:
		return refuse("The content that was sent for %s is another one. Was the file changed during the upload? Upload it again.", digest)
	}
	if err := os.MkdirAll(filepath.Dir(s.content(digest)), 0o700); err != nil {
		return err
	}
	return os.Rename(f.Name(), s.content(digest))
}

// Commit stores a manifest whose contents are all there, and returns its id. The
// error names how many are missing.
func (s *Store) Commit(m Manifest, now time.Time) (id string, err error) {
	missing, err := s.Missing(m, now)
	if err != nil {
		return "", err
	}
	if len(missing) > 0 {
		return "", refuse("The contents of %d files are missing. Send them first.", len(missing))
	}
	for _, f := range m.Files {
		if f.Link != "" {
			continue
		}
		info, err := os.Stat(s.content(f.Digest))
		if err != nil {
			return "", err
		}
		if info.Size() != f.Size {
			return "", refuse("The file %q has %d bytes, not %d as the manifest says.", f.Path, info.Size(), f.Size)
		}
	}
	body, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	return m.ID(), atomicfile.Write(s.snapshot(m.ID()), body, 0o600)
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
	if err := m.check(s.limits); err != nil {
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
// upload has used since. It returns how many bytes it freed.
func (s *Store) Collect(before time.Time, keep func(id string) bool) (freed int64, err error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "snapshots"))
	if err != nil {
		return 0, err
	}
	needed := map[string]bool{}
	for _, e := range entries {
		id := strings.TrimSuffix(e.Name(), ".json")
		if !digestForm.MatchString(id) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return freed, err
		}
		if info.ModTime().Before(before) && !keep(id) {
			if err := os.Remove(s.snapshot(id)); err != nil {
				return freed, err
			}
			continue
		}
		m, err := s.Manifest(id)
		if err != nil {
			return freed, err
		}
		for _, digest := range m.Digests() {
			needed[digest] = true
		}
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
