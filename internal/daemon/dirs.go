package daemon

import (
	"fmt"
	"os"
	"path/filepath"
)

// dirs is the data directory; its methods are the paths in it.
type dirs string

func (d dirs) database() string    { return filepath.Join(string(d), "slipway.db") }
func (d dirs) credentials() string { return filepath.Join(string(d), "credentials") }
func (d dirs) masterKey() string   { return filepath.Join(string(d), "master.key") }
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
func (d dirs) lock() string        { return filepath.Join(string(d), "lock") }

func (d dirs) make() error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	return nil
}
