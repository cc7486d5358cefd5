package main

import (
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// debianPackage returns a package with the files below root. The directory control has
// the file control and the scripts of the maintainer; md5sums and the size are added.
// A package is an ar archive of three members: https://manpages.debian.org/deb.5
func debianPackage(control, root string, at time.Time) ([]byte, error) {
	if control == "" {
		return nil, errors.New("deb needs -control DIR")
	}
	all, err := os.MkdirTemp("", "slipway-control-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(all)
	if err := controlFiles(control, root, all); err != nil {
		return nil, err
	}
	meta, err := compressedTar(all, ".", at)
	if err != nil {
		return nil, err
	}
	data, err := compressedTar(root, ".", at)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	member(&b, "debian-binary", at, []byte("2.0\n"))
	member(&b, "control.tar.gz", at, meta)
	member(&b, "data.tar.gz", at, data)
	return b.Bytes(), nil
}

// controlFiles copies a package's control files, with what depends on the files below
// root.
func controlFiles(from, root, to string) error {
	var sums bytes.Buffer
	size := 0 // KiB
	err := each(root, func(name string, info fs.FileInfo, content []byte) error {
		if !info.IsDir() {
			size += (len(content) + 1023) / 1024
			fmt.Fprintf(&sums, "%x  %s\n", md5.Sum(content), name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(to, "md5sums"), sums.Bytes(), 0o644); err != nil {
		return err
	}
	return each(from, func(name string, info fs.FileInfo, content []byte) error {
		if name == "control" {
			content = fmt.Appendf(bytes.TrimRight(content, "\n"), "\nInstalled-Size: %d\n", size)
		}
		return os.WriteFile(filepath.Join(to, name), content, mode(info))
	})
}

// member writes a member of an ar archive.
func member(b *bytes.Buffer, name string, at time.Time, content []byte) {
	fmt.Fprintf(b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", name, at.Unix(), 0, 0, "100644", len(content))
	b.Write(content)
	if len(content)%2 == 1 {
		b.WriteByte('\n')
	}
}
