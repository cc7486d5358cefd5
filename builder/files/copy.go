package main

import (
	"archive/tar"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	rooted "github.com/containerd/continuity/fs"
	"github.com/klauspost/compress/zstd"
	"github.com/moby/go-archive"
	"github.com/moby/patternmatcher"
	copier "github.com/tonistiigi/fsutil/copy"
	"github.com/ulikunitz/xz"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/build/docker/graph"
)

// copyFiles copies as BuildKit's FileActionCopy does.
func copyFiles(ctx context.Context, c graph.Copy, u *copier.User) (err error) {
	from := c.Folder
	defer func() { err = readable(err, from) }()
	source, dest := clean(c.Source), clean(c.Dest)
	if !c.CreateDest {
		if _, err := os.Lstat(filepath.Dir(dest)); err != nil {
			return err
		}
	}
	for _, p := range c.Required {
		if _, err := inside(from, p); err != nil {
			return err
		}
	}
	sources := []string{source}
	if c.Wildcard {
		if sources, err = copier.ResolveWildcards(from, source, c.Follow); err != nil {
			return err
		}
		if len(sources) == 0 && !c.AllowEmpty {
			return &fs.PathError{Op: "find", Path: source, Err: fs.ErrNotExist}
		}
	}
	var excluded *patternmatcher.PatternMatcher
	if c.Wildcard && len(c.Exclude) > 0 && strings.ContainsAny(source, "*?[") {
		if excluded, err = patternmatcher.New(c.Exclude); err != nil {
			return err
		}
	}
	for _, s := range sources {
		if excluded != nil && isExcluded(excluded, from, s) {
			continue
		}
		if c.Unpack {
			done, err := unpack(from, s, dest, u, c)
			if done || err != nil {
				if err != nil {
					return err
				}
				continue
			}
		}
		if err := copier.Copy(ctx, from, s, "/", dest, options(c, u)); err != nil {
			return err
		}
	}
	return nil
}

// isExcluded reports whether a file that a wildcard found is excluded itself. (The copier
// looks only at what is in directories.)
func isExcluded(m *patternmatcher.PatternMatcher, from, name string) bool {
	if st, err := os.Lstat(filepath.Join(from, name)); err != nil || st.IsDir() {
		return false
	}
	out, err := m.MatchesOrParentMatches(strings.TrimPrefix(name, "/"))
	return err == nil && out
}

func options(c graph.Copy, u *copier.User) copier.Opt {
	return func(o *copier.CopyInfo) {
		o.IncludePatterns, o.ExcludePatterns = c.Include, c.Exclude
		o.Chown, o.Utime = chowner(u), at(c.Time)
		if c.ModeText != "" {
			o.ModeStr = c.ModeText
		} else if c.Mode != -1 {
			o.Mode = &c.Mode
		}
		o.CopyDirContents, o.FollowLinks, o.AlwaysReplaceExistingDestPaths = c.Contents, c.Follow, c.Replace
		o.XAttrErrorHandler = func(_, _, _ string, _ error) error { return nil } // a sandbox may not set all of them
	}
}

// clean returns a path from the root; one that ends with a slash still does.
func clean(p string) string {
	c := filepath.Join("/", p)
	if c != "/" && (strings.HasSuffix(p, "/") || strings.HasSuffix(p, "/.")) {
		c += "/"
	}
	return c
}

// inside opens what a path of a source leads to, by links that stay in the source.
func inside(root, p string) (string, error) {
	at, err := rooted.RootPath(root, p)
	if err != nil {
		return "", err
	}
	_, err = os.Lstat(at)
	return at, err
}

// readable takes the place of the source out of an error's paths.
func readable(err error, from string) error {
	if err == nil {
		return nil
	}
	text := strings.ReplaceAll(err.Error(), from+"/", "/")
	if errors.Is(err, fs.ErrNotExist) {
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			return fmt.Errorf("%q: not found", "/"+strings.TrimPrefix(strings.TrimPrefix(e.Path, from), "/"))
		}
	}
	return errors.New(text)
}

// unpack unpacks a source that is an archive, and reports whether it is one.
func unpack(from, name, dest string, u *copier.User, c graph.Copy) (bool, error) {
	p, err := rooted.RootPath(from, name)
	if err != nil {
		return false, err
	}
	f, err := os.OpenFile(p, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false, nil // the copy says why
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() || !isArchive(f) {
		return false, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	to, err := rooted.RootPath("/", dest)
	if err != nil {
		return false, err
	}
	if _, err := copier.MkdirAll(to, 0o755, chowner(u), at(c.Time)); err != nil {
		return false, err
	}
	return true, within(to, func() error {
		r, err := decompress(f)
		if err != nil {
			return err
		}
		o := &archive.TarOptions{BestEffortXattrs: true}
		if u != nil {
			o.ChownOpts = &archive.ChownOpts{UID: u.UID, GID: u.GID}
		}
		if err := archive.Unpack(r, "/", o); err != nil {
			return fmt.Errorf("the archive %s cannot be unpacked: %s", name, err) //nolint:errorlint // its paths are not the source's
		}
		return nil
	})
}

// within calls f with a directory as the root: links of an archive stay in it. f may
// open no file of the outer root.
func within(dir string, f func() error) error {
	root, err := os.Open("/")
	if err != nil {
		return err
	}
	defer root.Close()
	if err := unix.Chroot(dir); err != nil {
		return fmt.Errorf("enter %s: %w", dir, err)
	}
	err = errors.Join(unix.Chdir("/"), f())
	return errors.Join(err, unix.Fchdir(int(root.Fd())), unix.Chroot("."))
}

// isArchive reports whether a file is a tar, compressed or not.
func isArchive(f *os.File) bool {
	r, err := decompress(f)
	if err != nil {
		return false
	}
	_, err = tar.NewReader(r).Next()
	return err == nil
}

// decompress reads a file in one of the formats that ADD knows.
func decompress(f *os.File) (io.Reader, error) {
	var head [6]byte
	n, err := io.ReadFull(f, head[:])
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	switch text := string(head[:n]); {
	case strings.HasPrefix(text, "\x1f\x8b"):
		return gzip.NewReader(f)
	case strings.HasPrefix(text, "BZh"):
		return bzip2.NewReader(f), nil
	case strings.HasPrefix(text, "\xfd7zXZ\x00"):
		return xz.NewReader(f)
	case strings.HasPrefix(text, "\x28\xb5\x2f\xfd"):
		return zstd.NewReader(f, zstd.WithDecoderMaxMemory(256<<20))
	}
	return f, nil
}
