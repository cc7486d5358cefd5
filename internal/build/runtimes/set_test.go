package runtimes_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/build/runtimes"
	"github.com/openslipway/slipway/internal/build/step"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/source/config"
)

// images is an image store of two images that another registry may have.
type images struct {
	mu     sync.Mutex
	pulls  []string
	absent bool // the registry does not answer
	lost   map[string]bool
	layers []string // of every image
}

func (i *images) Pull(_ context.Context, ref string, _ func(image.Progress)) (image.Image, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.pulls = append(i.pulls, ref)
	if i.absent {
		return image.Image{}, errors.New("no route to host")
	}
	return image.Image{Digest: fmt.Sprintf("sha256:%064d", len(i.pulls)), Ref: ref}, nil
}

func (i *images) Adopt(context.Context, image.Adoption) (image.Image, error) {
	return image.Image{}, errors.New("nothing is made in this test")
}

func (i *images) Get(digest string) (image.Image, error) {
	return image.Image{Digest: digest, Config: image.RunConfig{Env: []string{"PATH=/bin", "LANG=C"}}}, nil
}

func (i *images) Layers(_ context.Context, digest string) ([]string, error) {
	if i.lost[digest] {
		return nil, image.ErrNotFound
	}
	return i.layers, nil
}

// runner answers questions for the version.
type runner struct {
	version string
	fails   bool
}

func (r runner) Run(_ context.Context, s step.Stage, log step.Log) (res step.Result, err error) {
	log.Output([]byte("Language " + r.version + " (tags/x, Jan 1 2025)\n"))
	if r.fails {
		res.Exit = slipway.Exit{Code: 1}
	}
	return res, nil
}

func open(t *testing.T, dir string, i *images, r runner) *runtimes.Set {
	t.Helper()
	s, err := runtimes.New(runtimes.Config{Dir: dir, Images: i, Runner: r, Log: slog.New(slog.DiscardHandler), Apt: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func silent(string) {}

func TestPublishersImage(t *testing.T) {
	t.Parallel()
	dir, i := t.TempDir(), &images{lost: map[string]bool{}}
	s := open(t, dir, i, runner{version: "3.11.14"})
	first, err := s.Resolve(t.Context(), "python311", "3.11", silent)
	if err != nil {
		t.Fatal(err)
	}
	want := runtimes.Runtime{
		Name: "python311", Image: fmt.Sprintf("sha256:%064d", 1), Version: "3.11.14", Kind: config.RevisedBuild,
		Env:    []config.Variable{{Name: "PATH", Value: "/bin"}, {Name: "LANG", Value: "C"}},
		Caches: first.Caches,
	}
	if diff := cmp.Diff(want, first); diff != "" || len(first.Caches) != 1 || first.Caches[0].Name != "pip" {
		t.Errorf("caches %v (-want +got):\n%s", first.Caches, diff)
	}
	// Once for all, and for the next process.
	s = open(t, dir, i, runner{version: "3.11.15"})
	if again, err := s.Resolve(t.Context(), "python311", "", silent); err != nil || again.Version != "3.11.14" || len(i.pulls) != 1 {
		t.Errorf("again %+v, %v, pulled %v", again, err, i.pulls)
	}
	if digests, err := s.Digests(); err != nil || !cmp.Equal(digests, []string{first.Image}) {
		t.Errorf("to be kept: %v, %v", digests, err)
	}
	list, err := s.List()
	if err != nil || len(list) < 13 || list[0].Name != "python311" || len(list[0].Made) != 1 || list[0].Title != "Python 3.11" {
		t.Errorf("%+v, %v", list, err)
	}
	// Another version is another image.
	if _, err := s.Resolve(t.Context(), "python311", "3.11.9", silent); slipway.CodeOf(err) != slipway.InvalidRequest ||
		!strings.Contains(err.Error(), "runtime-version is 3.11.9; the image docker.io/library/python:3.11.9-bookworm of python311 has 3.11.15") {
		t.Errorf("an image with another version than its name says: %v", err)
	}
	i.lost[first.Image] = true
	if again, err := s.Resolve(t.Context(), "python311", "", silent); err != nil || again.Image == first.Image {
		t.Errorf("with its image collected: %+v, %v", again, err)
	}
	if err := s.Forget("python311"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resolve(t.Context(), "python311", "", silent); err != nil || len(i.pulls) != 4 {
		t.Errorf("forgotten: %v, pulled %v", err, i.pulls)
	}
}

func TestRefusedRuntimes(t *testing.T) {
	t.Parallel()
	i := &images{absent: true}
	s := open(t, t.TempDir(), i, runner{version: "1.2"})
	for _, c := range []struct{ name, lock, want string }{
		{"cobol", "", `no runtime "cobol"`},
		{"docker", "", "not in this server's table"},
		{"python3", "", "Use python311"},
		{"corretto8", "", "could not be pulled"},
		{"python311", "three", `"three" is no version`},
		{"python311", "3.11; reboot", "is no version"},
		{"nodejs22", "20.1", "20.1 is no version of nodejs22, which has 22."},
		{"python311", "", "has no sources"}, // the apt of this test has none
	} {
		if _, err := s.Resolve(t.Context(), c.name, c.lock, silent); slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v, want %q", c.name, c.lock, err, c.want)
		}
	}
	if left, err := os.ReadDir(filepath.Join(t.TempDir(), "work")); err == nil && len(left) > 0 {
		t.Errorf("left %v", left)
	}
	broken := open(t, t.TempDir(), &images{}, runner{version: "x", fails: true})
	if _, err := broken.Resolve(t.Context(), "python311", "", silent); err == nil || slipway.CodeOf(err) != "" {
		t.Errorf("a runtime that does not run: %v", err)
	}
}

// TestOnce asks for one runtime many times at once.
func TestOnce(t *testing.T) {
	t.Parallel()
	i := &images{}
	s := open(t, t.TempDir(), i, runner{version: "22.1.0"})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := s.Resolve(t.Context(), "nodejs22", "22", silent); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(i.pulls) != 1 {
		t.Errorf("pulled %v", i.pulls)
	}
}

// What the publisher's image lacks is added to it: Composer to PHP's.
func TestAddition(t *testing.T) {
	t.Parallel()
	layer := t.TempDir()
	if err := os.MkdirAll(filepath.Join(layer, "usr/bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(layer, "usr/bin/composer"), []byte("composer"), 0o755); err != nil {
		t.Fatal(err)
	}
	m := &mirror{version: "8.1.33", newer: map[string]string{}}
	m.layers = []string{t.TempDir(), layer}
	s, err := runtimes.New(runtimes.Config{Dir: t.TempDir(), Images: m, Runner: m, Log: slog.New(slog.DiscardHandler), Apt: t.TempDir(), CheckEvery: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	rt, err := s.Resolve(t.Context(), "php81", "8.1.33", silent)
	if err != nil || rt.Version != "8.1.33" || len(rt.Notes) != 0 {
		t.Fatalf("%+v, %v", rt, err)
	}
	a := m.adoptions[0]
	if want := fmt.Sprintf("sha256:%064d", 1); a.Base != want || rt.Image == want || len(a.Layers) != 2 || m.files["/usr/local/bin/composer"] != "composer" {
		t.Errorf("made %s of %+v with %v", rt.Image, a, m.files)
	}
	if !cmp.Equal(m.pulls, []string{"docker.io/library/php:8.1.33-apache-bookworm", "docker.io/library/composer:2"}) {
		t.Errorf("pulled %v", m.pulls)
	}
	// The publisher's image has changed (the fake's has a new digest each time).
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := resolve(t, s, "php81"); again.Image == "" {
		t.Error("it is gone")
	}
	m.layers = nil
	if _, err := s.Resolve(t.Context(), "php84", "", silent); err == nil || !strings.Contains(err.Error(), "The runtime php84 could not be made: take /usr/bin/composer of docker.io/library/composer:2: file does not exist.") {
		t.Errorf("without the file: %v", err)
	}
}
