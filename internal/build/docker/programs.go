package docker

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/openslipway/slipway"
)

// programFiles has the programs of module builder, compressed, if they were built before
// this package.
//
//go:embed bin
var programFiles embed.FS

// Names of the programs.
const (
	frontend = "frontend"
	files    = "files"
)

// programs are the embedded programs, unpacked when they are first needed: sandboxes can
// only execute a file.
type programs struct {
	dir string

	mu    sync.Mutex // guards paths
	paths map[string]string
}

// Available reports whether the programs are embedded.
func Available() bool {
	for _, name := range []string{frontend, files} {
		if _, err := fs.Stat(programFiles, "bin/"+name+".gz"); err != nil {
			return false
		}
	}
	return true
}

// errUnavailable is returned by a server that was built without the programs.
func errUnavailable() error {
	return slipway.Errorf(slipway.InvalidRequest,
		"This server cannot build Dockerfiles: it was built without the program for them. `make build` includes it, and so do releases.")
}

// path returns where a program is.
func (p *programs) path(name string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if path := p.paths[name]; path != "" {
		return path, nil
	}
	packed, err := programFiles.ReadFile("bin/" + name + ".gz")
	if errors.Is(err, fs.ErrNotExist) {
		return "", errUnavailable()
	}
	if err != nil {
		return "", err
	}
	path, err := unpack(packed, p.dir, name)
	if err != nil {
		return "", fmt.Errorf("unpack the program %s: %w", name, err)
	}
	if p.paths == nil {
		p.paths = map[string]string{}
	}
	p.paths[name] = path
	return path, nil
}

// unpack unpacks a program to a file that has the digest of what is packed in its name.
// A file that is there is complete.
func unpack(packed []byte, dir, name string) (string, error) {
	sum := sha256.Sum256(packed)
	path := filepath.Join(dir, name+"-"+hex.EncodeToString(sum[:8]))
	if st, err := os.Lstat(path); err == nil && st.Mode().IsRegular() {
		return path, nil
	}
	old, err := filepath.Glob(filepath.Join(dir, name+"-*")) // of another version
	if err != nil {
		return "", err
	}
	for _, o := range old {
		if err := os.Remove(o); err != nil {
			return "", err
		}
	}
	f, err := os.CreateTemp(dir, name+"-*.tmp")
	if err != nil {
		return "", err
	}
	if err := gunzip(f, packed); err != nil {
		return "", errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return path, errors.Join(f.Chmod(0o755), f.Close(), os.Rename(f.Name(), path))
}

func gunzip(w io.Writer, packed []byte) error {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, r.Close())
}
