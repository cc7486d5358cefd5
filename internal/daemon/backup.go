package daemon

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/openslipway/slipway/internal/backup"
	"github.com/openslipway/slipway/internal/image/pack"
	"github.com/openslipway/slipway/internal/seal"
	"github.com/openslipway/slipway/internal/store"
)

// BackupConfig is what WriteBackup needs. DataDir, Version and Progress are required,
// and File or Out.
type BackupConfig struct {
	DataDir  string
	File     string    // made when the backup is complete
	Replace  bool      // File may exist, and is replaced
	Out      io.Writer // in place of File
	Version  string    // of this program
	Progress func(done, total int64)

	IncludeKey bool   // the master key, which opens all secrets, is in the backup
	KeyFile    string // of the master key; "" for the one in the data directory
	Passphrase string // of the key file, to check it; may be ""
}

// Backup is what a backup has, or what was restored of it.
type Backup struct {
	Slipway string // version that wrote it
	At      time.Time
	Key     bool // it has the master key
	Files   int
	Bytes   int64

	// Master is the public half of the master key that the database needs; "" if it has
	// no data keys yet.
	Master string
}

// part is a file of a backup. An adopted layer has no file yet: its tar is made of a
// directory.
type part struct {
	name    string
	path    string // of the file, or of the directory of a layer
	content []byte // in place of a file
	size    int64
	layer   bool
}

// WriteBackup writes a server's state to a file, also while the server runs: first a
// copy of the database at one moment, then the files that its rows name, which are
// complete under their names and stay for at least an hour after their last use.
// Unpacked layers, caches, logs and sandboxes are left out: they are made again, or lost.
// If it fails, it leaves nothing; if it is killed, the next backup removes what is left.
func WriteBackup(ctx context.Context, c BackupConfig) (done Backup, err error) {
	d := dirs(c.DataDir)
	if c.Out == nil {
		if err := checkTarget(c.File, c.Replace); err != nil {
			return done, err
		}
	}
	work, free, err := d.copyPlace()
	if err != nil {
		return done, err
	}
	defer free()
	first, done, err := d.copyState(ctx, c, work)
	if err != nil {
		return done, err
	}
	found, err := d.parts()
	if err != nil {
		return done, err
	}
	b := planned{header: backup.Header{Slipway: c.Version, Schema: first.schema, At: done.At, Key: c.IncludeKey}, parts: append(first.parts, found...)}
	for _, p := range b.parts {
		b.header.Files++
		b.header.Bytes += p.size
	}
	if c.Out != nil {
		return done, b.write(ctx, c.Out, &done, c.Progress)
	}
	if err := checkRoom(filepath.Dir(c.File), b.header); err != nil {
		return done, err
	}
	out, err := newPartial(c.File)
	if err != nil {
		return done, err
	}
	defer out.discard()
	if err := b.write(ctx, out.file, &done, c.Progress); err != nil {
		return done, err
	}
	return done, out.keep(c.Replace)
}

// copyPlace makes the directory in the data directory that the database is copied to,
// for one backup at a time. free removes it.
func (d dirs) copyPlace() (dir string, free func(), err error) {
	if _, err := os.Stat(d.database()); errors.Is(err, fs.ErrNotExist) {
		return "", nil, fmt.Errorf("%s is not the data directory of a server: it has no %s. Name the server's with --data-dir", d, databaseName)
	}
	f, err := os.Open(string(d))
	if err != nil {
		return "", nil, fmt.Errorf("open the data directory: %w", err)
	}
	err = tryLock(f)
	dir = filepath.Join(string(d), ".backup")
	switch {
	case errors.Is(err, errLocked):
		err = fmt.Errorf("another backup of %s is being made; wait for its end", d)
	case err == nil:
		err = errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)) // of a backup that was killed
	}
	if err != nil {
		f.Close()
		return "", nil, err
	}
	return dir, func() { os.RemoveAll(dir); f.Close() }, nil
}

// copied is what a backup begins with: the database and perhaps the key.
type copied struct {
	parts  []part
	schema int64
}

// copyState copies the database and the key, so that the one opens the other also when
// the key is rotated meanwhile.
func (d dirs) copyState(ctx context.Context, c BackupConfig, dir string) (copied, Backup, error) {
	to, keyFile := filepath.Join(dir, databaseName), cmp.Or(c.KeyFile, d.masterKey())
	done := Backup{Slipway: c.Version, Key: c.IncludeKey}
	for {
		var key, after []byte
		var err error
		if c.IncludeKey {
			if key, err = os.ReadFile(keyFile); err != nil {
				return copied{}, done, fmt.Errorf("read the master key: %w; name its file with --key-file, as serve has it", err)
			}
		}
		done.At = time.Now().UTC().Truncate(time.Second)
		schema, err := store.Copy(ctx, d.database(), to)
		if err != nil {
			return copied{}, done, err
		}
		keys, err := store.ReadDataKeys(ctx, to)
		if err != nil {
			return copied{}, done, err
		}
		done.Master = newestMaster(keys)
		info, err := os.Stat(to)
		if err != nil {
			return copied{}, done, err
		}
		parts := []part{{name: databaseName, path: to, size: info.Size()}}
		if !c.IncludeKey {
			return copied{parts, schema}, done, nil
		}
		if after, err = os.ReadFile(keyFile); err != nil {
			return copied{}, done, fmt.Errorf("read the master key: %w", err)
		}
		if !bytes.Equal(key, after) { // rotated meanwhile: the old one may not open the copy
			if err := os.Remove(to); err != nil {
				return copied{}, done, err
			}
			continue
		}
		if err := seal.Check(key, keyFile, c.Passphrase, keys); err != nil && !errors.Is(err, seal.ErrEncrypted) {
			return copied{}, done, err
		}
		return copied{append(parts, part{name: keyName, content: key, size: int64(len(key))}), schema}, done, nil
	}
}

// planned is a backup that is to be written.
type planned struct {
	header backup.Header
	parts  []part
}

func (b planned) write(ctx context.Context, out io.Writer, done *Backup, progress func(done, total int64)) error {
	w, err := backup.NewWriter(out, b.header)
	if err != nil {
		return err
	}
	for _, p := range b.parts {
		n, err := p.write(ctx, w, func(n int64) { progress(done.Bytes+n, max(b.header.Bytes, done.Bytes+n)) })
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, fs.ErrNotExist) && p.name != databaseName {
			continue // nothing uses it any more: it was removed meanwhile
		}
		if err != nil {
			return err
		}
		done.Files++
		done.Bytes += n
	}
	return w.Close()
}

// write adds the part to a backup.
func (p part) write(ctx context.Context, w *backup.Writer, progress func(int64)) (int64, error) {
	if p.content != nil {
		return p.size, w.Add(p.name, p.size, bytes.NewReader(p.content))
	}
	if p.layer {
		r, tar := io.Pipe()
		defer r.Close()
		go func() { tar.CloseWithError(pack.Write(ctx, tar, p.path)) }()
		return p.size, w.Add(p.name, p.size, &watched{ctx: ctx, r: r, progress: progress})
	}
	f, err := os.Open(p.path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), w.Add(p.name, info.Size(), &watched{ctx: ctx, r: f, progress: progress})
}

// watched is a reader that ends with a context, and tells how far it is.
type watched struct {
	ctx      context.Context //nolint:containedctx // lives for one file
	r        io.Reader
	done     int64
	progress func(int64)
}

func (w *watched) Read(p []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	n, err := w.r.Read(p)
	w.done += int64(n)
	w.progress(w.done)
	return n, err
}

// kept are the directories of the data directory that a backup has. The table in
// docs/operating.md says of every other file why it is not in it.
var kept = []string{"images/repositories", "images/images", "images/blobs", "uploads", "runtimes/made"}

// backupHas reports whether a backup may have a file of this name, which is relative to
// the data directory.
func backupHas(name string) bool {
	if name == databaseName || name == keyName {
		return true
	}
	if strings.HasPrefix(path.Base(name), ".") { // a small file that is being replaced
		return false
	}
	if parts := strings.Split(name, "/"); len(parts) > 2 && parts[0] == "uploads" && parts[2] == "incoming" {
		return false
	}
	return slices.ContainsFunc(kept, func(dir string) bool { return strings.HasPrefix(name, dir+"/") })
}

// parts returns the files of a backup beside the database and the key. What others refer
// to comes last: a file that is added meanwhile must not be named by one that is in the
// backup, and itself be missing.
func (d dirs) parts() ([]part, error) {
	var list []part
	for _, dir := range kept {
		err := filepath.WalkDir(filepath.Join(string(d), dir), func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			name, err := filepath.Rel(string(d), path)
			if err != nil || !backupHas(filepath.ToSlash(name)) {
				return err
			}
			if info, err := e.Info(); err == nil {
				list = append(list, part{name: filepath.ToSlash(name), path: path, size: info.Size()})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	layers, err := d.adopted()
	if err != nil {
		return nil, err
	}
	list = append(list, layers...)
	content := func(p part) int {
		if strings.HasPrefix(p.name, "images/blobs/") || strings.Contains(p.name, "/contents/") {
			return 1
		}
		return 0
	}
	slices.SortFunc(list, func(a, b part) int { return cmp.Or(content(a)-content(b), strings.Compare(a.name, b.name)) })
	return list, nil
}

// adopted returns the layers that were built here, whose tars are made when somebody
// reads them.
func (d dirs) adopted() (list []part, err error) {
	notes, err := filepath.Glob(filepath.Join(d.images(), "layers", "*", "note.json"))
	for _, note := range notes {
		var n struct{ Tar int64 }
		b, err := os.ReadFile(note)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := errors.Join(err, json.Unmarshal(b, &n)); err != nil {
			return nil, fmt.Errorf("read %s: %w", note, err)
		}
		dir := filepath.Dir(note)
		name := "images/blobs/sha256/" + filepath.Base(dir)
		if _, err := os.Lstat(filepath.Join(string(d), name)); n.Tar > 0 && errors.Is(err, fs.ErrNotExist) {
			list = append(list, part{name: name, path: filepath.Join(dir, "fs"), size: n.Tar, layer: true})
		}
	}
	return list, err
}
