package upload

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// maxIgnore bounds an ignore file in bytes; the rest is not read.
const maxIgnore = 1 << 20

// usual are directories that builds make again: they are left out, as if the first lines
// of the root's .gitignore were these. A "!node_modules/" there takes them in.
const usual = "node_modules/\n__pycache__/\n"

// Scan makes the manifest of a directory, without what its .gitignore files, at any
// level, and its .dockerignore leave out, and without .git, virtual environments of
// Python and the usual directories that builds make again. It reads every file.
// Sockets, pipes and devices are left out. Errors that the user can mend are a
// *slipway.Error.
func Scan(root *os.Root, limits Limits) (Manifest, error) {
	s := scanner{root: root, limits: limits, left: limits.Bytes}
	text, err := s.read(".dockerignore")
	if err != nil {
		return Manifest{}, err
	}
	if err := s.directory("", ignored{levels: []level{{"", parseGitignore(usual)}}, docker: parseDockerignore(text)}); err != nil {
		return Manifest{}, err
	}
	slices.SortFunc(s.files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	m := Manifest{Files: s.files}
	return m, m.Check(limits)
}

type scanner struct {
	root   *os.Root
	limits Limits
	left   int64 // bytes
	files  []File
}

// read reads an ignore file; "" if there is none.
func (s *scanner) read(name string) (string, error) {
	info, err := s.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return "", nil // git does not follow a link here either
	}
	if err != nil {
		return "", err
	}
	f, err := s.root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxIgnore))
	return string(text), err
}

// directory scans a directory; dir is "" for the root.
func (s *scanner) directory(dir string, rules ignored) error {
	text, err := s.read(path.Join(dir, ".gitignore"))
	if err != nil {
		return err
	}
	if text != "" {
		prefix := ""
		if dir != "" {
			prefix = dir + "/"
		}
		rules.levels = append(rules.levels[:len(rules.levels):len(rules.levels)], level{prefix, parseGitignore(text)})
	}
	d, err := s.root.Open(path.Join(".", dir))
	if err != nil {
		return err
	}
	entries, err := d.ReadDir(-1)
	d.Close()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := s.entry(path.Join(dir, e.Name()), e, rules); err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) entry(p string, e fs.DirEntry, rules ignored) error {
	out, whole := rules.leaveOut(p, e.IsDir())
	if strings.EqualFold(e.Name(), ".git") || whole {
		return nil
	}
	if e.IsDir() {
		if strings.Count(p, "/") >= maxDepth {
			return refuse("The directory %.300q lies deeper than %d directories.", p, maxDepth)
		}
		if _, err := s.root.Lstat(path.Join(p, "pyvenv.cfg")); err == nil {
			return nil // its links lead to the Python of this machine
		}
		return s.directory(p, rules)
	}
	if out {
		return nil
	}
	if len(s.files) >= s.limits.Files {
		return refuse("The directory has more than %d files. Exclude some by .gitignore or .dockerignore.", s.limits.Files)
	}
	switch {
	case e.Type() == fs.ModeSymlink:
		return s.link(p)
	case e.Type().IsRegular():
		return s.file(p)
	}
	return nil
}

// link adds a symbolic link. Links of Windows are made of backslashes, and name a drive
// where they lead out of the directory.
func (s *scanner) link(p string) error {
	to, err := s.root.Readlink(p)
	if err != nil {
		return err
	}
	if filepath.VolumeName(to) != "" {
		return leadsOut(p, to)
	}
	s.files = append(s.files, File{Path: p, Link: filepath.ToSlash(to)})
	return nil
}

// file adds a regular file. Its size and mode are those of what was read.
func (s *scanner) file(p string) error {
	f, err := s.root.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s has changed while it was read", p)
	}
	most := min(s.left, s.limits.File)
	h := sha256.New()
	var head beginning
	n, err := io.Copy(io.MultiWriter(h, &head), io.LimitReader(f, most+1))
	if err != nil {
		return err
	}
	if n > most {
		return refuse("With %q the directory's files take more than is allowed: %d MiB for all, %d for one. Exclude some by .gitignore or .dockerignore.",
			p, s.limits.Bytes>>20, s.limits.File>>20)
	}
	s.left -= n
	s.files = append(s.files, File{Path: p, Size: n, Digest: hex.EncodeToString(h.Sum(nil)), Executable: executable(runtime.GOOS, info.Mode(), head)})
	return nil
}

// executable reports whether a file is to be executable where it is built. Windows has
// no such mode: there programs for Linux and scripts that name their interpreter are.
func executable(system string, mode fs.FileMode, head beginning) bool {
	if system != "windows" {
		return mode&0o100 != 0
	}
	return bytes.HasPrefix(head, []byte("#!")) || bytes.HasPrefix(head, []byte("\x7fELF"))
}

// beginning keeps the first bytes of what is written to it.
type beginning []byte

func (b *beginning) Write(p []byte) (int, error) {
	const enough = 4
	*b = append(*b, p[:min(len(p), enough-min(len(*b), enough))]...)
	return len(p), nil
}
