package upload

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/openslipway/slipway"
)

// Manifest lists the files of a directory. Directories are made as files need them;
// empty ones are not kept, as in git.
type Manifest struct {
	Files []File `json:"files"` // sorted by path
}

// File is a regular file, or a symbolic link.
type File struct {
	Path       string `json:"path"`           // relative, clean, with slashes
	Size       int64  `json:"size,omitempty"` // bytes
	Digest     string `json:"sha256,omitempty"`
	Executable bool   `json:"executable,omitempty"`
	Link       string `json:"link,omitempty"` // where a symbolic link leads; it has no other member but Path
}

// Limits of a snapshot, and of a store.
type Limits struct {
	Files int   // at most
	Bytes int64 // of all files together
	File  int64 // bytes of one file

	Stored int64 // bytes of all contents of a store
}

// DefaultLimits suit source code with what belongs to it.
func DefaultLimits() Limits {
	return Limits{Files: 100_000, Bytes: 2 << 30, File: 1 << 30, Stored: 10 << 30}
}

// storedPerFile is how many contents a store may have for each file that a snapshot may
// have: their number is limited as their size is, since each takes an inode.
const storedPerFile = 5

// Limits of paths, as in repositories.
const (
	maxPath  = 4096 // bytes
	maxName  = 255  // bytes
	maxDepth = 128  // directories
)

var digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Check refuses a manifest whose directory could not be made, or would not stay in
// its place. The error is a *slipway.Error that names the file.
func (m Manifest) Check(limits Limits) error {
	if len(m.Files) > limits.Files {
		return refuse("The directory has %d files; %d are allowed. Exclude some by .gitignore or .dockerignore.", len(m.Files), limits.Files)
	}
	left := limits.Bytes
	for i, f := range m.Files {
		if err := f.check(limits); err != nil {
			return err
		}
		if left -= f.Size; left < 0 {
			return refuse("The directory's files take more than %d MiB. Exclude some by .gitignore or .dockerignore.", limits.Bytes>>20)
		}
		if i > 0 && m.Files[i-1].Path >= f.Path {
			return refuse("The files of the manifest are not sorted by path, each once: %q.", f.Path)
		}
	}
	return m.checkParents()
}

// checkParents refuses a file that is at the same time a directory, or a link that
// is: what is below it would be written elsewhere.
func (m Manifest) checkParents() error {
	files := make(map[string]bool, len(m.Files))
	for _, f := range m.Files {
		files[f.Path] = true
	}
	for _, f := range m.Files {
		for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
			if files[dir] {
				return refuse("The manifest has %q as a file and as a directory.", dir)
			}
		}
	}
	return nil
}

func (f File) check(limits Limits) error {
	if problem := checkPath(f.Path); problem != "" {
		return refuse("The path %.300q %s.", f.Path, problem)
	}
	if f.Link != "" {
		if f.Size != 0 || f.Digest != "" || f.Executable {
			return refuse("The symbolic link %q has a content.", f.Path)
		}
		if leaves(f.Path, f.Link) {
			return leadsOut(f.Path, f.Link)
		}
		return nil
	}
	switch {
	case !digestForm.MatchString(f.Digest):
		return refuse("The file %q has no SHA-256 digest of 64 hexadecimal digits in lower case.", f.Path)
	case f.Size < 0:
		return refuse("The file %q has the size %d.", f.Path, f.Size)
	case f.Size > limits.File:
		return refuse("The file %q has %d MiB; %d are allowed for one file.", f.Path, f.Size>>20, limits.File>>20)
	}
	return nil
}

func leadsOut(p, to string) error {
	return refuse("The symbolic link %q leads out of the directory, to %.300q. Exclude it, or replace it by what it leads to.", p, to)
}

// checkPath says what is wrong with a path; "" if nothing is.
func checkPath(p string) string {
	switch {
	case p == "" || p == "." || path.IsAbs(p) || path.Clean(p) != p || p == ".." || strings.HasPrefix(p, "../"):
		return "is not relative and clean"
	case len(p) > maxPath:
		return fmt.Sprintf("is longer than %d bytes", maxPath)
	case strings.Count(p, "/") > maxDepth:
		return fmt.Sprintf("lies deeper than %d directories", maxDepth)
	case strings.ContainsRune(p, 0):
		return "has a zero byte"
	case !utf8.ValidString(p):
		return "is not UTF-8"
	}
	for part := range strings.SplitSeq(p, "/") {
		if len(part) > maxName {
			return fmt.Sprintf("has a name of more than %d bytes", maxName)
		}
		if strings.EqualFold(part, ".git") {
			return "names .git, which is not uploaded"
		}
	}
	return ""
}

// leaves reports whether a symbolic link at p may lead out of the directory. What is
// above p are directories, so ".." at the beginning is what it seems; behind a name it
// is not, as the name may be a link.
func leaves(p, to string) bool {
	if path.IsAbs(to) || len(to) > maxPath || strings.ContainsRune(to, 0) || !utf8.ValidString(to) {
		return true
	}
	up := strings.Count(p, "/")
	named := false
	for part := range strings.SplitSeq(to, "/") {
		switch part {
		case "", ".":
		case "..":
			if up--; up < 0 || named {
				return true
			}
		default:
			named = true
		}
	}
	return false
}

// Bytes returns the size of all files together.
func (m Manifest) Bytes() (n int64) {
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

// ID identifies the snapshot: equal directories have equal ids.
func (m Manifest) ID() string {
	h := sha256.New()
	for _, f := range m.Files {
		fmt.Fprintf(h, "%q %d %s %t %q\n", f.Path, f.Size, f.Digest, f.Executable, f.Link)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Digests returns the digests of all contents, sorted, each once.
func (m Manifest) Digests() []string {
	var all []string
	for _, f := range m.Files {
		if f.Digest != "" {
			all = append(all, f.Digest)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func refuse(format string, args ...any) error {
	return slipway.Errorf(slipway.InvalidRequest, format, args...)
}
