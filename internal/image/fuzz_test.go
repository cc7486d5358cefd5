package image_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/image"
	. "github.com/openslipway/slipway/internal/image/imagetest"
)

// FuzzNames gives the store foreign names. Each is refused as the user's
// mistake or stays inside the store.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"a", "a/b:c", "../a", "a/../../b", "_tags", "a/_tags", "127.0.0.1:8070/a/../..", "000000000000.dkr.ecr.us-east-1.amazonaws.com/..:x", "a@sha256:" + strings.Repeat("0", 64)} {
		f.Add(s, s)
	}
	base := f.TempDir()
	dir := filepath.Join(base, "store")
	s := openIn(f, dir)
	f.Fuzz(func(t *testing.T, repo, tag string) {
		x := Digest(t, digester("x"))
		if image.CheckRepository(repo) == nil {
			x = blob(t, s, "x", repo)
		}
		m, err := s.PutManifest(t.Context(), repo, tag, "", artifact(x, 1, ""))
		if err == nil {
			if got, err := s.Manifest(repo, tag); err != nil || got.Digest != m.Digest {
				t.Errorf("put %q:%q, got %v, %v", repo, tag, got, err)
			}
			if err := s.DeleteManifest(repo, m.Digest); err != nil {
				t.Error(err)
			}
		} else if slipway.CodeOf(err) == "" && !strings.Contains(err.Error(), "digest") {
			t.Errorf("%q:%q: %v", repo, tag, err)
		}
		if repos, err := s.Repositories(); err != nil || len(repos) > 0 {
			t.Errorf("left %q, %v", repos, err)
		}
		if left := names(t, base); len(left) != 1 || left[0] != "store" {
			t.Errorf("beside the store: %q", left)
		}
	})
}

// FuzzReference parses references. What is found to be local has names that are
// safe as file names.
func FuzzReference(f *testing.F) {
	for _, s := range []string{"a", "a/b:c", "../a", "a/../../b", "127.0.0.1:8070/a/..:x", "public.ecr.aws/x/../../y", "docker.io/a", "a:-", "a:..", "000000000000.dkr.ecr.us-east-1.amazonaws.com/a:b", "a@sha256:" + strings.Repeat("0", 64)} {
		f.Add(s)
	}
	s := open(f, func(c *image.Config) {
		c.LocalHosts = func() []string { return []string{"127.0.0.1:8070"} }
		c.Aliases = []image.Alias{{From: "public.ecr.aws", To: "local"}, {From: "docker.io/", To: "local/hub/"}, {From: "x", To: "local/../y"}}
	})
	f.Fuzz(func(t *testing.T, ref string) {
		repo, tag, ok := s.Local(ref)
		if !ok {
			return
		}
		if err := errors.Join(image.CheckRepository(repo), image.CheckTag(tag)); err != nil {
			t.Errorf("%q: %v", ref, err)
		}
	})
}

// FuzzManifest gives the store foreign manifests.
func FuzzManifest(f *testing.F) {
	s := open(f)
	x := blob(f, s, "x")
	f.Add(artifact(x, 1, ""))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"digest":"` + x + `","size":1}],"subject":{"digest":"` + x + `"}}`))
	f.Add([]byte(`{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + x + `","size":1},"layers":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := s.PutManifest(t.Context(), "a", "v1", "", body)
		if err != nil {
			return
		}
		got, err := s.Manifest("a", "v1")
		if err != nil || !bytes.Equal(got.Body, body) {
			t.Errorf("put %q, got %q, %v", body, got.Body, err)
		}
		s.Pull(t.Context(), "000000000000.dkr.ecr.us-east-1.amazonaws.com/a:v1", nil)
		if err := s.DeleteManifest("a", m.Digest); err != nil {
			t.Error(err)
		}
	})
}

// FuzzImport gives the store foreign archives.
func FuzzImport(f *testing.F) {
	img := small(f, "a")
	f.Add(read(f, SaveTar(f, img, "a:1")))
	f.Add(tarOf(f, SaveLayout(f, img, "a:1")))
	f.Add(Tar(f, Symlink("index.json", "index.json"), Symlink("manifest.json", "../../etc/passwd")))
	base := f.TempDir()
	dir := filepath.Join(base, "store")
	s := openIn(f, dir)
	f.Fuzz(func(t *testing.T, b []byte) {
		s.Import(t.Context(), bytes.NewReader(b), "")
		wantEmpty(t, dir)
		if left, err := os.ReadDir(base); err != nil || len(left) != 1 {
			t.Errorf("beside the store: %v, %v", left, err)
		}
	})
}
