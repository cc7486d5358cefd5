package cache

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Layer is what a step of a Dockerfile changed. A directory of changes stays as it is:
// other steps have it below theirs, and files of images are links to its files.
type Layer struct {
	Dir string `json:"-"` // the directory of changes; "" if there are none

	// Same is the key of another layer, whose changes these are, too.
	Same string `json:"same,omitempty"`

	DiffID  string `json:"diffID,omitempty"`
	Size    int64  `json:"size,omitempty"` // bytes of its tar
	Entries int    `json:"entries,omitempty"`
	By      string `json:"by,omitempty"` // what made it, for an image's history

	// Boot is the boot of the machine in which the layer was stored, "" once it has
	// been synced. After another boot it may be incomplete.
	Boot string `json:"boot,omitempty"`
}

// Names in the directory of a layer.
const (
	layerFiles = "fs"
	layerNote  = "note.json"
)

// Layer returns a service's layer with this key. The use counts for Prune and
// TrimLayers.
func (c *Cache) Layer(service, key string) (l Layer, ok bool, err error) {
	path, err := c.path(service, "layers", key)
	if err != nil {
		return l, false, err
	}
	text, err := os.ReadFile(filepath.Join(path, layerNote))
	if errors.Is(err, fs.ErrNotExist) {
		return l, false, nil
	}
	if err != nil {
		return l, false, err
	}
	if json.Unmarshal(text, &l) != nil || l.Boot != "" && l.Boot != c.boot {
		return Layer{}, false, nil // it will be stored again
	}
	if l.Entries > 0 {
		l.Dir = filepath.Join(path, layerFiles)
	}
	now := time.Now()
	return l, true, os.Chtimes(path, now, now)
}

// StoreLayer keeps a layer and returns it at its new place. It moves l.Dir, unless it
// is "". One with this key that was there before is replaced.
func (c *Cache) StoreLayer(service, key string, l Layer) (Layer, error) {
	path, err := c.path(service, "layers", key)
	if err != nil {
		return l, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return l, err
	}
	aside, err := os.MkdirTemp(c.dir, gone+"*")
	if err != nil {
		return l, err
	}
	defer os.RemoveAll(aside)
	fresh := filepath.Join(aside, "new")
	if err := os.Mkdir(fresh, 0o700); err != nil {
		return l, err
	}
	if l.Dir != "" {
		if err := os.Rename(l.Dir, filepath.Join(fresh, layerFiles)); err != nil {
			return l, err
		}
		l.Dir = filepath.Join(path, layerFiles)
	}
	l.Boot = c.boot
	text, err := json.Marshal(l)
	if err != nil {
		return l, err
	}
	if err := os.WriteFile(filepath.Join(fresh, layerNote), text, 0o600); err != nil {
		return l, err
	}
	err = os.Rename(fresh, path)
	if errors.Is(err, fs.ErrExist) {
		if err = os.Rename(path, filepath.Join(aside, "old")); err == nil {
			err = os.Rename(fresh, path)
		}
	}
	return l, err
}

// SyncLayers makes layers of a service durable: before that, they are of no use after
// the machine's next boot.
func (c *Cache) SyncLayers(service string, keys []string) error {
	dir, err := os.Open(c.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if len(keys) == 0 {
		return nil
	}
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("sync the layers of builds: %w", err)
	}
	for _, key := range keys {
		l, ok, err := c.Layer(service, key)
		if err != nil || !ok {
			return err
		}
		l.Boot = ""
		text, err := json.Marshal(l)
		if err != nil {
			return err
		}
		entry, err := c.path(service, "layers", key)
		if err != nil {
			return err
		}
		path := filepath.Join(entry, layerNote)
		// It need not be durable: without it, the layer counts until the next boot.
		if err := errors.Join(os.WriteFile(path+".new", text, 0o600), os.Rename(path+".new", path)); err != nil {
			return err
		}
	}
	return nil
}

// TrimLayers removes the layers of a service that were used least lately, until the
// others take at most so many bytes.
func (c *Cache) TrimLayers(service string, most int64) error {
	dir, err := c.path(service, "layers")
	if err != nil {
		return err
	}
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	type entry struct {
		name string
		used time.Time
		size int64
	}
	var all []entry
	for _, e := range list {
		fi, err := e.Info()
		if err != nil {
			continue
		}
		var l Layer
		text, err := os.ReadFile(filepath.Join(dir, e.Name(), layerNote))
		if err == nil {
			err = json.Unmarshal(text, &l)
		}
		if err != nil {
			l.Size = most // of no use
		}
		all = append(all, entry{e.Name(), fi.ModTime(), l.Size})
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Or(b.used.Compare(a.used), cmp.Compare(a.name, b.name)) })
	var total int64
	for _, e := range all {
		if total += e.size; total > most {
			if err := c.remove(filepath.Join(dir, e.name)); err != nil {
				return err
			}
		}
	}
	return nil
}
