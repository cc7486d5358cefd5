// Package cache keeps what makes the next build of a service faster: a directory per
// service and package manager, and the images that builds resulted in.
//
// Nothing in it is shared between services, so that no build can change what another
// service's build uses. Nothing in it is needed: losing it costs time. Only
// internal/build calls it; it runs no commands and reads nothing that builds wrote but
// sizes and times.
//
// # On disk
//
//	<dir>/<service>/cache/<name>     a package manager's directory
//	<dir>/<service>/results/<key>    the image that a build with this key resulted in
//	<dir>/<service>/layers/<key>     what a step of a Dockerfile changed
//	<dir>/.gone-*                    what is being removed
package cache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/atomicfile"
)

// Cache is the caches of all services in one directory. It is safe for concurrent use,
// as long as a service's caches are bound by one build at a time, and trimmed or
// removed by nobody meanwhile.
type Cache struct {
	dir  string
	boot string // of the machine
}

// Open opens the caches below a directory, which it makes if it is missing, and
// removes what an earlier process did not finish removing.
func Open(dir string) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the caches of builds: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, gone+"*"))
	if err != nil {
		return nil, err
	}
	for _, path := range left {
		_ = removeDeep(path) // the next start tries again: no start depends on it
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("open the caches of builds: %w", err)
	}
	return &Cache{dir, strings.TrimSpace(string(boot))}, nil
}

const gone = ".gone-"

// name is what services and caches may be called: never "..", never hidden.
var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$`)

func (c *Cache) path(service string, parts ...string) (string, error) {
	for _, p := range append([]string{service}, parts...) {
		if !name.MatchString(p) {
			return "", fmt.Errorf("%q is no name for a cache", p)
		}
	}
	return filepath.Join(append([]string{c.dir, service}, parts...)...), nil
}

// Dir returns the directory of a service's cache, and makes it if it is missing. The
// use counts for Prune.
func (c *Cache) Dir(service, cache string) (string, error) {
	dir, err := c.path(service, "cache", cache)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make a cache: %w", err)
	}
	now := time.Now()
	return dir, os.Chtimes(dir, now, now)
}

// Size returns how much a service's caches take, in bytes: math.MaxInt64 if they are so
// deep that they cannot be measured.
func (c *Cache) Size(service string) (int64, error) {
	dir, err := c.path(service, "cache")
	if err != nil {
		return 0, err
	}
	return size(dir)
}

// size returns the bytes of the files below a directory, which may change meanwhile.
func size(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case errors.Is(err, unix.ENAMETOOLONG):
			total = math.MaxInt64
			return fs.SkipAll
		case err != nil || e.IsDir():
			return err
		}
		fi, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			total += fi.Size()
		}
		return err
	})
	return total, err
}

// Trim removes the caches of a service if together they take more than most bytes, all
// of them: package managers do not expect single files to vanish. It reports whether
// it did.
func (c *Cache) Trim(service string, most int64) (bool, error) {
	n, err := c.Size(service)
	if err != nil || n <= most {
		return false, err
	}
	dir, err := c.path(service, "cache")
	if err != nil {
		return false, err
	}
	return true, c.remove(dir)
}

// Remove removes everything of a service. A service without any is no error.
func (c *Cache) Remove(service string) error {
	dir, err := c.path(service)
	if err != nil {
		return err
	}
	return c.remove(dir)
}

// remove renames a directory out of use before it removes it.
func (c *Cache) remove(dir string) error {
	aside, err := os.MkdirTemp(c.dir, gone+"*")
	if err != nil {
		return err
	}
	if err := os.Rename(dir, filepath.Join(aside, "old")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, os.Remove(aside))
	}
	return removeDeep(aside)
}

// batch is how many entries of a directory are read at once: builds can make millions.
const batch = 1024

// removeDeep removes a directory, whose entries are directories or files with names of
// our own. What is below may be so deep that os.RemoveAll, which holds a descriptor for
// each level, would use up those of the daemon; so directories are moved up before
// what is in them is removed.
func removeDeep(dir string) error {
	for next := 0; ; {
		list, err := readSome(dir)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return os.Remove(dir)
		}
		for _, e := range list {
			if err := removeShallow(dir, filepath.Join(dir, e.Name()), e.IsDir(), &next); err != nil {
				return err
			}
		}
	}
}

// removeShallow removes a file, or a directory after it has moved the directories in it
// to another one under the names that next counts.
func removeShallow(to, path string, isDir bool, next *int) error {
	for isDir {
		list, err := readSome(path)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			break
		}
		for _, e := range list {
			from := filepath.Join(path, e.Name())
			if !e.IsDir() {
				err = os.Remove(from)
			} else {
				*next++
				err = os.Rename(from, filepath.Join(to, fmt.Sprintf(".%d", *next)))
			}
			if err != nil {
				return err
			}
		}
	}
	return os.Remove(path)
}

func readSome(dir string) ([]fs.DirEntry, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := f.ReadDir(batch)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return list, err
}

// Services returns the services that have anything here, in order.
func (c *Cache) Services() ([]string, error) {
	list, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, err
	}
	var services []string
	for _, e := range list {
		if !strings.HasPrefix(e.Name(), ".") {
			services = append(services, e.Name())
		}
	}
	return services, nil
}

// Prune removes the caches and results of a service that were not used after before,
// and returns the bytes that this freed. What cannot be removed is passed over; the error
// names all of it.
func (c *Cache) Prune(service string, before time.Time) (freed int64, err error) {
	for _, kind := range []string{"cache", "results", "layers"} {
		dir, e := c.path(service, kind)
		if e != nil {
			return freed, errors.Join(err, e)
		}
		list, e := os.ReadDir(dir)
		if e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
		for _, entry := range list {
			fi, e := entry.Info()
			if e != nil || fi.ModTime().After(before) {
				continue
			}
			path := filepath.Join(dir, entry.Name())
			n, e := size(path)
			if e != nil {
				n = 0 // it is removed all the same
			}
			if e := c.remove(path); e != nil {
				err = errors.Join(err, fmt.Errorf("remove %s: %w", path, e))
				continue
			}
			if n < math.MaxInt64 {
				freed += n
			}
		}
	}
	return freed, err
}

// Built is what a build resulted in.
type Built struct {
	Image   string `json:"image"`   // manifest digest
	Runtime string `json:"runtime"` // version of the runtime, for people

	// Bases are the base images of a Dockerfile, digests by name. A name may stand for
	// another image meanwhile.
	Bases map[string]string `json:"bases,omitempty"`
}

// Find returns what a build of a service with this key resulted in. The image may have
// been collected since.
func (c *Cache) Find(service, key string) (b Built, ok bool, err error) {
	path, err := c.path(service, "results", key)
	if err != nil {
		return b, false, err
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return b, false, nil
	}
	if err != nil {
		return b, false, err
	}
	if json.Unmarshal(text, &b) != nil || b.Image == "" {
		return Built{}, false, nil // it will be written again
	}
	now := time.Now()
	return b, true, os.Chtimes(path, now, now)
}

// Store remembers what a build resulted in.
func (c *Cache) Store(service, key string, b Built) error {
	path, err := c.path(service, "results", key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	text, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, text, 0o600)
}
