package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// TestArchives recognises archives by their contents, not their names.
func TestArchives(t *testing.T) {
	t.Parallel()
	var plain bytes.Buffer
	w := tar.NewWriter(&plain)
	if err := w.WriteHeader(&tar.Header{Name: "a", Mode: 0o644, Size: 1}); err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("a"))
	w.Close()
	pack := map[string]func(b io.Writer) (io.WriteCloser, error){
		"gzip": func(b io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(b), nil },
		"zstd": func(b io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(b) },
		"xz":   func(b io.Writer) (io.WriteCloser, error) { return xz.NewWriter(b) },
	}
	is := func(name string, text []byte, want bool) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if isArchive(f) != want {
			t.Errorf("%s is an archive: %v", name, !want)
		}
	}
	is("a tar", plain.Bytes(), true)
	is("nothing", nil, false)
	is("a text", []byte("#!/bin/sh\n"), false)
	is("a broken gzip", []byte("\x1f\x8b\x08"), false)
	for name, open := range pack {
		var b, text bytes.Buffer
		write(t, open, &b, plain.Bytes())
		is("a tar with "+name, b.Bytes(), true)
		write(t, open, &text, []byte("no archive"))
		is("a text with "+name, text.Bytes(), false)
	}
}

func write(t *testing.T, open func(io.Writer) (io.WriteCloser, error), to io.Writer, text []byte) {
	t.Helper()
	w, err := open(to)
	if err == nil {
		_, err = w.Write(text)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"": "/", ".": "/", "a": "/a", "/a/": "/a/", "a/.": "/a/", "../..": "/", "a/../b/": "/b/", "/": "/"} {
		if got := clean(path); got != want {
			t.Errorf("%q is %q, want %q", path, got, want)
		}
	}
}
