package image_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/image"
)

// damages are what may be in the place of a file, by name. want is what remains of it.
var damages = map[string]func(path string, was []byte) error{
	"cut short": func(path string, was []byte) error { return os.WriteFile(path, was[:len(was)/2], 0o600) },
	"empty":     func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o600) },
	"other bytes": func(path string, was []byte) error {
		return os.WriteFile(path, bytes.Repeat([]byte("?"), len(was)), 0o600)
	},
	"a directory":       func(path string, _ []byte) error { return os.MkdirAll(filepath.Join(path, "with", "content"), 0o700) },
	"a link to nothing": func(path string, _ []byte) error { return os.Symlink(path+".nowhere", path) },
	"a link to itself":  func(path string, _ []byte) error { return os.Symlink(path, path) },
	"an input error":    func(path string, _ []byte) error { return os.Symlink("/proc/self/mem", path) }, // EIO
}

// One entry that cannot be read stops neither the start nor a list nor a collection, which
// removes nothing that the entry may refer to; it is named, and the next push or pull of the
// image replaces it.
func TestDamage(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"tag", "entry", "manifest", "configuration", "record"} {
		for how, harm := range damages {
			t.Run(part+" "+how, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				var log bytes.Buffer
				logged := func(c *image.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) }
				s, up := openIn(t, dir), newUpstream(t)
				pushed := small(t, "pushed")
				victim := put(t, s, "shop:1", pushed)
				put(t, s, "whole:1", small(t, "whole"))
				ref := up.push(t, small(t, "pulled"), "pulled:1")
				pulled := mustPull(t, s, ref)
				if part == "record" {
					victim = pulled
				}
				loose := put(t, s, "loose:1", small(t, "loose"))
				if err := s.DeleteTag("loose", "1"); err != nil {
					t.Fatal(err)
				}
				hexOf := func(digest string) string { return strings.TrimPrefix(digest, "sha256:") }
				path := filepath.Join(dir, map[string]string{
					"tag": "repositories/shop/_tags/1", "entry": "repositories/shop/_manifests/" + hexOf(victim.Digest),
					"manifest": "blobs/sha256/" + hexOf(victim.Digest), "configuration": "blobs/sha256/" + hexOf(configOf(t, s, victim.Digest)),
					"record": "images/" + hexOf(victim.Digest),
				}[part])
				was, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(os.Remove(path), harm(path, was), s.Close()); err != nil {
					t.Fatal(err)
				}

				s = openIn(t, dir, logged)
				old := time.Now().Add(-time.Hour)
				for _, where := range []string{"blobs/sha256", "images", "repositories/shop/_manifests", "repositories/shop/_blobs"} {
					for _, n := range names(t, filepath.Join(dir, where)) {
						if fi, err := os.Lstat(filepath.Join(dir, where, n)); err == nil && fi.Mode().IsRegular() {
							os.Chtimes(filepath.Join(dir, where, n), old, old)
						}
					}
				}
				list, err := s.List()
				if err != nil || !slices.ContainsFunc(list, func(i image.Image) bool { return strings.Contains(i.Ref, "whole") }) {
					t.Errorf("the list has %v, %v", list, err)
				}
				if repos, err := s.Repositories(); err != nil || !slices.Contains(repos, "shop") || !slices.Contains(repos, "whole") {
					t.Errorf("the repositories are %v, %v", repos, err)
				}
				if _, err := s.Contents("shop"); err != nil {
					t.Errorf("the contents: %v", err)
				}
				if _, err := s.Collect(t.Context(), []string{pulled.Digest}, 0); err != nil {
					t.Errorf("the collection: %v", err)
				}
				for _, l := range victim.Layers {
					if _, err := s.BlobSize(l.Digest); err != nil {
						t.Errorf("the collection has removed a layer: %v", err)
					}
				}
				if has(t, s, loose.Digest) {
					t.Error("the collection leaves what nothing refers to")
				}
				if text := log.String(); !strings.Contains(text, "unreadable") {
					t.Errorf("nothing is named: %q", text)
				}
				if part == "record" {
					mustPull(t, s, ref)
				} else {
					put(t, s, "shop:1", pushed)
				}
				if !has(t, s, victim.Digest) {
					t.Error("it is not repaired")
				}
				log.Reset()
				if d, err := s.Manifest("shop", "1"); err != nil || part != "record" && d.Digest != victim.Digest {
					t.Errorf("the tag is of %s, %v", d.Digest, err)
				}
				collect(t, s, 0, pulled.Digest)
				if !has(t, s, victim.Digest) || log.Len() > 0 {
					t.Errorf("after the next collection it is gone, or:\n%s", log.String())
				}
			})
		}
	}
}

// Names that the store never gives are left alone wherever they are.
func TestForeignNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openIn(t, dir)
	kept := put(t, s, "shop:1", small(t, "kept"))
	loose := put(t, s, "loose:1", small(t, "loose"))
	if err := errors.Join(s.DeleteTag("loose", "1"), s.Close()); err != nil {
		t.Fatal(err)
	}
	foreign := []string{
		"blobs/sha256/lost+found", "images/lost+found", "repositories/lost+found", "repositories/shop/_manifests/x",
		"repositories/shop/_blobs/x", "repositories/UPPER/_manifests",
	}
	for _, name := range foreign {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	s = openIn(t, dir, func(c *image.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	for range 2 {
		if _, err := s.Collect(t.Context(), nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	if !has(t, s, kept.Digest) || has(t, s, loose.Digest) {
		t.Errorf("kept %v, loose %v", has(t, s, kept.Digest), has(t, s, loose.Digest))
	}
	if repos, err := s.Repositories(); err != nil || !slices.Equal(repos, []string{"shop"}) {
		t.Errorf("the repositories are %v, %v", repos, err)
	}
	if list, err := s.Contents("shop"); err != nil || len(list) != 1 {
		t.Errorf("the contents are %v, %v", list, err)
	}
	for _, name := range []string{foreign[0], foreign[1], foreign[5]} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(log.String(), "lost+found"); n != 2 {
		t.Errorf("it is named %d times:\n%s", n, log.String())
	}
}

// What a link in the place of a repository leads to may be one: nothing is removed.
func TestLinkedRepository(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openIn(t, dir)
	moved := put(t, s, "shop:1", small(t, "moved"))
	elsewhere := filepath.Join(t.TempDir(), "shop")
	path := filepath.Join(dir, "repositories", "shop")
	if err := errors.Join(os.Rename(path, elsewhere), os.Symlink(elsewhere, path)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Collect(t.Context(), nil, 0); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("the collection: %v", err)
	}
	if !has(t, s, moved.Digest) {
		t.Error("its image is gone")
	}
	if _, err := s.List(); err != nil {
		t.Errorf("the list: %v", err)
	}
}

// configOf returns the digest of an image's configuration.
func configOf(t testing.TB, s *image.Store, digest string) string {
	t.Helper()
	r, err := s.Blob(digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(text.String(), `"config":{`)
	_, rest, _ = strings.Cut(rest, `"digest":"`)
	config, _, _ := strings.Cut(rest, `"`)
	return config
}
