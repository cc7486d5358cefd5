package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Names in the data directory, which a backup has, too.
const (
	databaseName = "slipway.db"
	keyName      = "master.key"
)

// dirs is the data directory; its methods are the paths in it.
type dirs string

func (d dirs) database() string    { return filepath.Join(string(d), databaseName) }
func (d dirs) identity() string    { return filepath.Join(string(d), "database.id") }
func (d dirs) credentials() string { return filepath.Join(string(d), "credentials") }
func (d dirs) authority() string   { return filepath.Join(string(d), "authority.pem") }
func (d dirs) masterKey() string   { return filepath.Join(string(d), keyName) }
func (d dirs) images() string      { return filepath.Join(string(d), "images") }
func (d dirs) instances() string   { return filepath.Join(string(d), "runtime") }
func (d dirs) network() string     { return filepath.Join(string(d), "network") }
func (d dirs) node() string        { return filepath.Join(string(d), "node") }
func (d dirs) logs() string        { return filepath.Join(string(d), "logs") }
func (d dirs) git() string         { return filepath.Join(string(d), "git") }
func (d dirs) source() string      { return filepath.Join(string(d), "source") }
func (d dirs) runtimes() string    { return filepath.Join(string(d), "runtimes") }
func (d dirs) build() string       { return filepath.Join(string(d), "build") }
func (d dirs) uploads() string     { return filepath.Join(string(d), "uploads") }
func (d dirs) ballast() string     { return filepath.Join(string(d), "ballast") }
func (d dirs) lock() string        { return filepath.Join(string(d), "lock") }

func (d dirs) make() error {
	err := os.MkdirAll(string(d), 0o700)
	if err == nil {
		err = unix.Access(string(d), unix.W_OK) // of a file system that is read-only
	}
	if err != nil {
		return fmt.Errorf("make the data directory %s: %w; name one that can be written with --data-dir", d, err)
	}
	return checkOwner("the data directory", string(d))
}

// hasInstances reports whether there are instances, or may be: their directories are
// there from before their start to after their end.
func (d dirs) hasInstances() bool {
	list, err := os.ReadDir(filepath.Join(d.instances(), "instances"))
	return len(list) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist)
}
