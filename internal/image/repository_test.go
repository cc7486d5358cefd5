package image_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/image"
	. "github.com/openslipway/slipway/internal/image/imagetest"
)

// blob uploads content to repositories, "a" if none is given, and returns its digest.
func blob(t testing.TB, s *image.Store, content string, repos ...string) string {
	t.Helper()
	if len(repos) == 0 {
		repos = []string{"a"}
	}
	var digest string
	for _, repo := range repos {
		digest = upload(t, s, repo, content)
	}
	return digest
}

func upload(t testing.TB, s *image.Store, repo, content string) string {
	t.Helper()
	u, err := s.NewUpload()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Append(t.Context(), strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	digest := u.Digest()
	if err := u.CommitTo(repo, digest); err != nil {
		t.Fatal(err)
	}
	return digest
}

// artifact returns a manifest whose config and only layer are the blob.
func artifact(digest string, size int, more string) []byte {
	d := fmt.Sprintf(`{"mediaType":"application/x","digest":%q,"size":%d}`, digest, size)
	return []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]%s}`, types.OCIManifestSchema1, d, d, more))
}

func TestManifests(t *testing.T) {
	t.Parallel()
	s := open(t)
	body := artifact(blob(t, s, "x", "a", "a/b-c"), 1, "")
	m, err := s.PutManifest(t.Context(), "a/b-c", "v1", "", body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutManifest(t.Context(), "a/b-c", m.Digest, string(types.OCIManifestSchema1), body); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutManifest(t.Context(), "a", "v2", "", body); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"v1", m.Digest} {
		got, err := s.Manifest("a/b-c", ref)
		if err != nil {
			t.Fatal(err)
		}
		if got.Digest != m.Digest || got.MediaType != string(types.OCIManifestSchema1) || !bytes.Equal(got.Body, body) {
			t.Errorf("%s: %+v", ref, got)
		}
	}
	for repo, ref := range map[string]string{"a/b-c": "v2", "a/b": "v1", "a": "v1", "b": m.Digest, "a/b-c/d": "v1"} {
		if _, err := s.Manifest(repo, ref); !errors.Is(err, image.ErrNotFound) {
			t.Errorf("%s:%s: %v", repo, ref, err)
		}
	}
	repos, err := s.Repositories()
	if diff := cmp.Diff([]string{"a", "a/b-c"}, repos); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if err := s.DeleteTag("a/b-c", "v1"); err != nil {
		t.Fatal(err)
	}
	if tags, err := s.Tags("a/b-c"); err != nil || len(tags) > 0 {
		t.Errorf("tags %v, %v", tags, err)
	}
	if _, err := s.Manifest("a/b-c", m.Digest); err != nil {
		t.Errorf("the manifest went with its tag: %v", err)
	}
	if err := s.DeleteManifest("a", m.Digest); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{s.DeleteManifest("a", m.Digest), s.DeleteTag("a", "v2")} {
		if !errors.Is(err, image.ErrNotFound) {
			t.Errorf("deleted twice: %v", err)
		}
	}
	repos, err = s.Repositories()
	if diff := cmp.Diff([]string{"a/b-c"}, repos); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

// TestManifestAgain pushes a manifest that the store has with claims that are not true of
// it. It is refused as a store refuses it that has never seen it.
func TestManifestAgain(t *testing.T) {
	t.Parallel()
	known, fresh := open(t), open(t)
	x := blob(t, known, "x")
	blob(t, fresh, "x")
	typed := artifact(x, 1, "")
	untyped := bytes.Replace(typed, []byte(fmt.Sprintf(`"mediaType":%q,`, types.OCIManifestSchema1)), nil, 1)
	for i, body := range [][]byte{typed, untyped} {
		if _, err := known.PutManifest(t.Context(), "a", fmt.Sprint("v", i), string(types.OCIManifestSchema1), body); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		repo, reference string
		mediaType       types.MediaType
		body            []byte
	}{
		"as an index":                 {"a", "v2", types.OCIImageIndex, typed},
		"as an index, by its header":  {"a", "v2", types.OCIImageIndex, untyped},
		"as a manifest of Docker":     {"a", "v2", types.DockerManifestSchema2, typed},
		"as a text":                   {"a", "v2", "text/plain", untyped},
		"under another digest":        {"a", x, types.OCIManifestSchema1, typed},
		"where its members are not":   {"b", "v1", types.OCIManifestSchema1, typed},
		"under what is no tag":        {"a", "-", types.OCIManifestSchema1, typed},
		"in what is no repository":    {"A", "v1", types.OCIManifestSchema1, typed},
		"with a member of other size": {"a", "v2", types.OCIManifestSchema1, artifact(x, 2, "")},
	} {
		_, want := fresh.PutManifest(t.Context(), c.repo, c.reference, string(c.mediaType), c.body)
		_, err := known.PutManifest(t.Context(), c.repo, c.reference, string(c.mediaType), c.body)
		if want == nil || err == nil || err.Error() != want.Error() {
			t.Errorf("%s: %v; a store that does not know it says %v", name, err, want)
		}
	}
	for i, body := range [][]byte{typed, untyped} {
		m, err := known.Manifest("a", fmt.Sprint("v", i))
		if err != nil || m.MediaType != string(types.OCIManifestSchema1) || !bytes.Equal(m.Body, body) {
			t.Errorf("manifest %d is now %+v, %v", i, m, err)
		}
	}
}

func TestManifestRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openIn(t, dir)
	x := blob(t, s, "x")
	none := "sha256:" + strings.Repeat("1", 64)
	tests := []struct {
		name, repo, ref, mediaType string
		body                       []byte
		want                       string // in the user's error; "" for the sentinel
		is                         error
	}{
		{"repository", "A", "v1", "", artifact(x, 1, ""), "not a repository name", nil},
		{"path", "../a", "v1", "", artifact(x, 1, ""), "not a repository name", nil},
		{"reserved", "_tags", "v1", "", artifact(x, 1, ""), "not a repository name", nil},
		{"long", strings.Repeat("a", 256), "v1", "", artifact(x, 1, ""), "not a repository name", nil},
		{"tag", "a", "..", "", artifact(x, 1, ""), "not a tag", nil},
		{"tag with a slash", "a", "b/c", "", artifact(x, 1, ""), "not a tag", nil},
		{"digest", "a", "sha256:1", "", artifact(x, 1, ""), "not a digest", nil},
		{"other digest", "a", none, "", artifact(x, 1, ""), "", image.ErrDigest},
		{"missing blob", "a", "v1", "", artifact(none, 1, ""), "", image.ErrNotFound},
		{"wrong size", "a", "v1", "", artifact(x, 2, ""), "", image.ErrNotFound},
		{"junk", "a", "v1", "", []byte("junk"), "not readable", nil},
		{"media type", "a", "v1", "text/plain", artifact(x, 1, ""), "calls itself", nil},
		{"unknown type", "a", "v1", "", []byte(`{"schemaVersion":2,"mediaType":"a/b"}`), `media type "a/b"`, nil},
		{"ambiguous", "a", "v1", "", artifact(x, 1, `,"manifests":[]`), "with manifests", nil},
		{"twice", "a", "v1", "", artifact(x, 1, `,"layers":[]`), "names a member twice", nil},
		{"letter case", "a", "v1", "", artifact(x, 1, `,"Layers":[]`), "understand it differently", nil},
		{"letter case below", "a", "v1", "", artifact(x, 1, `,"subject":{"Digest":"`+x+`"}`), "letter case", nil},
		{"index with layers", "a", "v1", "", []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","layers":[]}`), "that has a config or layers", nil},
		{"no config", "a", "v1", "", []byte(`{"schemaVersion":2,"layers":[]}`), "without config", nil},
		{"schema 1", "a", "v1", "", []byte(`{"schemaVersion":1}`), "schema 1", nil},
		{"no version", "a", "v1", "", []byte(`{}`), "schemaVersion", nil},
		{"algorithm", "a", "v1", "", artifact("sha512:"+strings.Repeat("0", 128), 1, ""), "must be sha256", nil},
		{"size", "a", "v1", "", append(bytes.Repeat([]byte(" "), image.MaxManifest), '1'), "at most 4194304", nil},
	}
	for _, tt := range tests {
		_, err := s.PutManifest(t.Context(), tt.repo, tt.ref, tt.mediaType, tt.body)
		switch {
		case tt.is != nil:
			if !errors.Is(err, tt.is) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.is)
			}
		case slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), tt.want):
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if repos, err := s.Repositories(); err != nil || len(repos) > 0 {
		t.Errorf("left repositories %v, %v", repos, err)
	}
	wantEmpty(t, dir)
}

func TestReferrers(t *testing.T) {
	t.Parallel()
	s := open(t)
	x := blob(t, s, "x")
	subject := artifact(x, 1, `,"annotations":{"a":"subject"}`)
	digest := Digest(t, digester(subject))
	about := artifact(x, 1, fmt.Sprintf(`,"subject":{"mediaType":"a/b","digest":%q,"size":9},"artifactType":"a/signature","annotations":{"k":"v"}`, digest))
	m, err := s.PutManifest(t.Context(), "a", Digest(t, digester(about)), "", about) // before its subject, as allowed
	if err != nil {
		t.Fatal(err)
	}
	ds, err := s.Referrers("a", digest)
	if err != nil || len(ds) != 1 {
		t.Fatalf("referrers %v, %v", ds, err)
	}
	if ds[0].Digest.String() != m.Digest || ds[0].ArtifactType != "a/signature" || ds[0].Annotations["k"] != "v" || ds[0].Size != int64(len(about)) {
		t.Errorf("referrer %+v", ds[0])
	}
	if ds, err := s.Referrers("b", digest); err != nil || len(ds) > 0 {
		t.Errorf("another repository's: %v, %v", ds, err)
	}
	if err := s.DeleteManifest("a", m.Digest); err != nil {
		t.Fatal(err)
	}
	if ds, err := s.Referrers("a", digest); err != nil || len(ds) > 0 {
		t.Errorf("deleted, still %v, %v", ds, err)
	}
}

// digester gives bytes a Digest method.
type digester []byte

func (d digester) Digest() (v1.Hash, error) {
	h, _, err := v1.SHA256(bytes.NewReader(d))
	return h, err
}

func TestUpload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openIn(t, dir)
	u, err := s.NewUpload()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"one ", "two"} {
		if n, err := u.Append(t.Context(), strings.NewReader(part)); err != nil || n != int64(len(part)) {
			t.Fatalf("append: %d, %v", n, err)
		}
	}
	want := Digest(t, digester("one two"))
	if err := u.Commit(Digest(t, digester("other"))); !errors.Is(err, image.ErrDigest) {
		t.Errorf("another digest: %v", err)
	}
	if err := u.CommitTo("a", want); err != nil {
		t.Fatal(err)
	}
	u.Cancel() // does nothing now
	if n, err := s.BlobSize(want); err != nil || n != 7 {
		t.Errorf("size %d, %v", n, err)
	}
	f, err := s.Blob(want)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := s.DeleteBlob("a", want); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RepositoryBlob("a", want); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	if err := s.DeleteBlob("a", want); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	wantEmpty(t, dir)
}

func TestDeleteBlobInUse(t *testing.T) {
	t.Parallel()
	s := open(t)
	x := blob(t, s, "x")
	if _, err := s.PutManifest(t.Context(), "a", "v1", "", artifact(x, 1, "")); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteBlob("a", x); !errors.Is(err, image.ErrInUse) {
		t.Errorf("%v, want ErrInUse", err)
	}
}

// A damaged copy is replaced, not trusted by its name.
func TestUploadRepairs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openIn(t, dir)
	x := blob(t, s, "content")
	path := filepath.Join(dir, "blobs", strings.Replace(x, ":", "/", 1))
	if err := os.Truncate(path, 3); err != nil {
		t.Fatal(err)
	}
	blob(t, s, "content")
	if b, err := os.ReadFile(path); err != nil || string(b) != "content" {
		t.Errorf("%q, %v", b, err)
	}
}

// Tags, deletions and collections run at once: every acknowledged push is
// complete afterwards.
func TestRepositoryTogether(t *testing.T) {
	t.Parallel()
	s := open(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			repo := fmt.Sprintf("r/%d", i%2)
			for j := range 15 {
				text := fmt.Sprintf("%d-%d", i, j)
				tag := fmt.Sprintf("t%d", i)
				if _, err := s.Put(t.Context(), repo+":"+tag, small(t, text)); err != nil {
					t.Error(err)
					return
				}
				if _, err := s.Pull(t.Context(), repo+":"+tag, nil); err != nil {
					t.Errorf("pushed and not there: %v", err)
				}
				if j%3 == 0 {
					if err := s.DeleteTag(repo, tag); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			if _, err := s.Collect(t.Context(), nil, 0); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	images, err := s.List()
	if err != nil || len(images) != 4 {
		t.Errorf("%d images, %v", len(images), err)
	}
}
