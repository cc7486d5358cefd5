package upload

import (
	"io/fs"
	"path"

	"github.com/openslipway/slipway/internal/source/upload"
)

// files is a file system with only those files of another one that are sent.
type files struct {
	fs.FS
	known map[string]bool // paths of files, and of the directories above them
}

// sent returns the files of a manifest.
func sent(fsys fs.FS, m upload.Manifest) files {
	f := files{fsys, map[string]bool{".": true}}
	for _, file := range m.Files {
		for p := file.Path; !f.known[p]; p = path.Dir(p) {
			f.known[p] = true
		}
	}
	return f
}

// Open opens a file or directory that is sent. A path through a link is not known by
// that name, and passes: it leads to what is sent, or the server finds nothing there.
func (f files) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if !f.known[name] && !f.throughLink(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	file, err := f.FS.Open(name)
	if err != nil {
		return nil, err
	}
	if d, ok := file.(fs.ReadDirFile); ok {
		return directory{d, f, name}, nil
	}
	return file, nil
}

// throughLink reports whether a directory above the path is sent as a link.
func (f files) throughLink(name string) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if f.known[dir] {
			info, err := fs.Lstat(f.FS, dir)
			return err == nil && info.Mode()&fs.ModeSymlink != 0
		}
	}
	return false
}

// directory lists only what is sent.
type directory struct {
	fs.ReadDirFile
	files files
	name  string
}

// ReadDir returns entries that are sent.
func (d directory) ReadDir(n int) ([]fs.DirEntry, error) {
	for {
		entries, err := d.ReadDirFile.ReadDir(n)
		kept := entries[:0]
		for _, e := range entries {
			if d.files.known[path.Join(d.name, e.Name())] {
				kept = append(kept, e)
			}
		}
		if len(kept) > 0 || err != nil || n <= 0 || len(entries) == 0 {
			return kept, err
		}
	}
}
