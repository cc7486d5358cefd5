package runtimes_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/build/runtimes"
	"github.com/openslipway/slipway/internal/build/step"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/runtime"
)

// mirror is an archive of packages, the sandbox that installs them, and the store of
// the images that this makes.
type mirror struct {
	images
	mu      sync.Mutex
	adopted int

	adoptions []image.Adoption
	files     map[string]string // of the last one's layers

	version string
	newer   map[string]string // what apt says of an image, by digest
	down    bool              // no package can be had

	absent65 bool // a recipe finds no version for its lock

	checked []string // images whose packages were looked at
	made    []string // first commands of recipes that were run
}

func (m *mirror) Adopt(_ context.Context, a image.Adoption) (image.Image, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.adopted++
	m.adoptions = append(m.adoptions, a)
	m.files = map[string]string{}
	for _, l := range a.Layers {
		err := filepath.WalkDir(l.Dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return nil //nolint:nilerr // the sandbox of this test makes no directories
			}
			text, err := os.ReadFile(path)
			m.files[strings.TrimPrefix(path, l.Dir)] = string(text)
			return err
		})
		if err != nil {
			return image.Image{}, err
		}
	}
	return image.Image{Digest: fmt.Sprintf("sha256:made%d", m.adopted)}, nil
}

func (m *mirror) Run(_ context.Context, s step.Stage, log step.Log) (res step.Result, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := strings.Join(s.Commands, "\n")
	res.Layer = &runtime.JobLayer{}
	switch {
	case strings.Contains(all, "apt-get") && m.down:
		log.Output([]byte("Err:1 http://mirror.example bookworm InRelease\nE: Failed to fetch http://mirror.example/InRelease  Temporary failure resolving 'mirror.example'\nE: Some index files failed to download.\n"))
		res.Exit = slipway.Exit{Code: 100}
	case strings.Contains(all, "npm pack") && m.absent65:
		log.Output([]byte("npm ERR! code ETARGET\nnpm ERR! notarget No matching version found\nThere is no Node.js 22.99.\n"))
		res.Exit = slipway.Exit{Code: 65}
	case strings.Contains(all, "dist-upgrade"):
		m.checked = append(m.checked, s.Image)
		log.Output([]byte("Hit:1 http://mirror.example bookworm InRelease\n" + m.newer[s.Image] + "0 upgraded.\n"))
	case strings.Contains(all, "apt-get"):
		m.made = append(m.made, s.Commands[1])
	case strings.Contains(all, "--version"):
		log.Output([]byte("Language " + m.version + "\n"))
	}
	return res, nil
}

// unsupportedSentence is App Runner's.
const unsupportedSentence = "The specified runtime version is not supported. Refer to the Release information in the App Runner Developer guide for supported runtime versions."

// openMirror opens a set whose checks are always due.
func openMirror(t *testing.T, dir string, m *mirror) *runtimes.Set {
	t.Helper()
	apt := t.TempDir()
	if err := os.WriteFile(filepath.Join(apt, "sources.list"), []byte("deb http://mirror.example bookworm main\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := runtimes.New(runtimes.Config{
		Dir: dir, Images: m, Runner: m, Log: slog.New(slog.DiscardHandler), Apt: apt, RecipesOnly: true, CheckEvery: time.Nanosecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func resolve(t *testing.T, s *runtimes.Set, name string) runtimes.Runtime {
	t.Helper()
	rt, err := s.Resolve(t.Context(), name, "", silent)
	if err != nil {
		t.Fatal(err)
	}
	return rt
}

// A runtime is made again when its packages, or those of its base, have newer versions.
// Until it is, builds have the old one, whose image stays for those that run.
func TestRefresh(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &mirror{version: "3.11.2", newer: map[string]string{}}
	s := openMirror(t, dir, m)
	first := resolve(t, s, "python311")
	refresh := func(why string) runtimes.Runtime {
		t.Helper()
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatalf("%s: %v", why, err)
		}
		return resolve(t, s, "python311")
	}
	if same := refresh("nothing is newer"); same.Image != first.Image || len(m.checked) != 2 {
		t.Errorf("without newer packages: %+v, looked at %v", same, m.checked)
	}
	m.newer[first.Image] = "Inst libexpat1 [2.5.0-1] (2.5.0-1+deb12u1 Debian-Security:12/stable-security [amd64])\n"
	m.version = "3.11.3"
	second := refresh("a package is newer")
	if second.Image == first.Image || second.Version != "3.11.3" {
		t.Errorf("with a newer package: %+v", second)
	}
	digests, err := s.Digests()
	if err != nil || !slices.Contains(digests, first.Image) || !slices.Contains(digests, second.Image) {
		t.Errorf("to be kept: %v, %v, want those of a running build too", digests, err)
	}
	base := m.checked[0]
	m.newer[base] = "Inst openssl [3.0.1] (3.0.2 Debian-Security:12/stable-security [amd64])\n"
	third := refresh("a package of the base is newer")
	if third.Image == second.Image {
		t.Error("with a newer package of the base it is the same")
	}
	if last := m.checked[len(m.checked)-1]; last != base { // the runtime's own packages need no look
		t.Errorf("looked at %v", m.checked)
	}
	if again := refresh("all is new"); again.Image != third.Image {
		t.Errorf("made again without a reason: %+v", again)
	}
	// Nothing is made while the mirror is away, and what is there stays.
	m.down = true
	if err := s.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "Temporary failure resolving") {
		t.Errorf("without the mirror: %v", err)
	}
	if again := resolve(t, s, "python311"); again.Image != third.Image {
		t.Errorf("without the mirror there is %+v", again)
	}
}

// A runtime that nobody uses any more is forgotten, and so is one of an older table.
func TestRefreshForgets(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &mirror{version: "3.11.2", newer: map[string]string{}}
	s := openMirror(t, dir, m)
	rt := resolve(t, s, "python311")
	before := time.Now().Add(-40 * 24 * time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "made", "python311@.used"), before, before); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "made", "cobol@.json"), []byte(`{"image":"sha256:cobol"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if digests, err := s.Digests(); err != nil || slices.Contains(digests, rt.Image) || slices.Contains(digests, "sha256:cobol") || len(digests) != 1 {
		t.Errorf("kept %v, %v, want the base only", digests, err)
	}
}

// Why a runtime could not be made is told to whoever deploys.
func TestMakeFails(t *testing.T) {
	t.Parallel()
	m := &mirror{down: true}
	s := openMirror(t, t.TempDir(), m)
	var said []string
	_, err := s.Resolve(t.Context(), "python311", "", func(line string) { said = append(said, line) })
	const want = "The runtime python311 could not be made: make the base bookworm: command 1 of unpack ended with code 100: " +
		"E: Failed to fetch http://mirror.example/InRelease  Temporary failure resolving 'mirror.example'."
	if slipway.CodeOf(err) != slipway.InvalidRequest || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if !slices.Contains(said, "Err:1 http://mirror.example bookworm InRelease") {
		t.Errorf("the build's log has %q", said)
	}
	m.down, m.absent65 = false, true
	if _, err := s.Resolve(t.Context(), "nodejs22", "22.99", silent); err == nil || err.Error() != unsupportedSentence+" There is no Node.js 22.99." {
		t.Errorf("a version that does not exist: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("cancelled"))
	if _, err := s.Resolve(ctx, "python311", "", silent); err == nil || slipway.CodeOf(err) != "" {
		t.Errorf("a cancelled build: %v", err)
	}
}
