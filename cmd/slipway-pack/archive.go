package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

// mode returns the mode of a file in a package: programs are executable, whatever the
// umask of who built them.
func mode(info fs.FileInfo) fs.FileMode {
	if info.IsDir() || info.Mode()&0o100 != 0 {
		return 0o755
	}
	return 0o644
}

// each calls add for everything below dir, in the order of names, with its path below
// dir. Only directories and regular files may be there.
func each(dir string, add func(name string, info fs.FileInfo, content []byte) error) error {
	return filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || file == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		var content []byte
		switch {
		case info.Mode().IsRegular():
			if content, err = os.ReadFile(file); err != nil {
				return err
			}
		case !info.IsDir():
			return fmt.Errorf("%s is neither a file nor a directory", file)
		}
		return add(filepath.ToSlash(name), info, content)
	})
}

// tarball returns a compressed tar of dir, whose entries begin with dir's name.
func tarball(dir string, at time.Time) ([]byte, error) {
	return compressedTar(dir, filepath.Base(dir), at)
}

// compressedTar returns a compressed tar of what is in dir, below prefix, owned by root.
func compressedTar(dir, prefix string, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	entry := func(name string, isDir bool, mode fs.FileMode, content []byte) error {
		h := &tar.Header{
			Typeflag: tar.TypeReg, Name: name, Mode: int64(mode), Size: int64(len(content)), ModTime: at,
			Uname: "root", Gname: "root", Format: tar.FormatGNU, // dpkg reads no other
		}
		if isDir {
			h.Typeflag, h.Name = tar.TypeDir, name+"/"
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err := w.Write(content)
		return err
	}
	if err := entry(prefix, true, 0o755, nil); err != nil {
		return nil, err
	}
	err := each(dir, func(name string, info fs.FileInfo, content []byte) error {
		if prefix == "." { // as dpkg-deb does
			return entry("./"+name, info.IsDir(), mode(info), content)
		}
		return entry(path.Join(prefix, name), info.IsDir(), mode(info), content)
	})
	if err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	err = z.Close()
	return b.Bytes(), err
}

// zipFile returns a zip of dir, whose entries begin with dir's name.
func zipFile(dir string, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	err := each(dir, func(name string, info fs.FileInfo, content []byte) error {
		if info.IsDir() {
			return nil
		}
		h := &zip.FileHeader{Name: path.Join(filepath.Base(dir), name), Method: zip.Deflate, Modified: at}
		h.SetMode(mode(info))
		f, err := w.CreateHeader(h)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, bytes.NewReader(content))
		return err
	})
	if err != nil {
		return nil, err
	}
	err = w.Close()
	return b.Bytes(), err
}
