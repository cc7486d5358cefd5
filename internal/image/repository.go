package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/atomicfile"
)

// The distribution specification's grammar. It allows no name or tag that is
// "." or ".." or begins with an underscore, so both are safe as file names and
// never collide with the directories _tags, _manifests, _referrers and _blobs.
var (
	repositoryName = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagName        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

const (
	tagDir       = "_tags"
	manifestDir  = "_manifests"
	referrersDir = "_referrers"

	maxRepositoryName = 255
)

// CheckRepository refuses a text that is not a repository name.
func CheckRepository(name string) error {
	if len(name) <= maxRepositoryName && repositoryName.MatchString(name) {
		return nil
	}
	return slipway.Errorf(slipway.InvalidRequest, "%q is not a repository name: it has at most %d lower-case letters and digits, separated by single dots, underscores, dashes or slashes.", name, maxRepositoryName)
}

// CheckTag refuses a text that is not a tag.
func CheckTag(tag string) error {
	if tagName.MatchString(tag) {
		return nil
	}
	return slipway.Errorf(slipway.InvalidRequest, "%q is not a tag: it has at most 128 letters, digits, underscores, dots and dashes, and does not begin with a dot or a dash.", tag)
}

// Manifest is a manifest of a repository.
type Manifest struct {
	Digest    string
	MediaType string
	Body      []byte
	Subject   string // digest of the manifest that this one is about; "" for none
}

func (s *Store) repositoryPath(repo string, elem ...string) string {
	return s.path("repositories/" + repo + "/" + strings.Join(elem, "/"))
}

// Manifest returns a manifest of a repository by tag or digest, without its
// Subject. It counts as a use for garbage collection. ErrNotFound if the
// repository, or the manifest in it, does not exist.
func (s *Store) Manifest(repo, reference string) (Manifest, error) {
	d, err := s.lookUp(repo, reference)
	if err != nil {
		return Manifest{}, err
	}
	body, err := s.readBlob(d.Digest)
	if err != nil {
		return Manifest{}, err
	}
	// Clients look before they push and leave out what exists.
	if _, err := touch(s.repositoryPath(repo, manifestDir, d.Digest.Hex)); err != nil {
		return Manifest{}, err
	}
	return Manifest{Digest: d.Digest.String(), MediaType: string(d.MediaType), Body: body}, nil
}

// lookUp returns the descriptor of a repository's manifest by tag or digest.
func (s *Store) lookUp(repo, reference string) (v1.Descriptor, error) {
	if err := CheckRepository(repo); err != nil {
		return v1.Descriptor{}, err
	}
	if !strings.Contains(reference, ":") {
		if err := CheckTag(reference); err != nil {
			return v1.Descriptor{}, err
		}
		h, err := s.tagTarget(repo, reference)
		if err != nil {
			return v1.Descriptor{}, err
		}
		reference = h.String()
	}
	e, err := s.readEntry(repo, reference)
	return e.Descriptor, err
}

// readEntry returns what a repository records about a manifest.
func (s *Store) readEntry(repo, digest string) (e entry, err error) {
	h, err := parseDigest(digest)
	if err != nil {
		return e, err
	}
	path := s.repositoryPath(repo, manifestDir, h.Hex)
	b, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return e, fmt.Errorf("%s@%s: %w", repo, digest, ErrNotFound)
	}
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(b, &e); err != nil {
		return e, fmt.Errorf("read descriptor of %s in %s: %w", h, repo, err)
	}
	if e.PushedAt.IsZero() { // written before PushedAt was recorded
		fi, err := os.Stat(path)
		if err != nil {
			return e, err
		}
		e.PushedAt = fi.ModTime().UTC()
	}
	return e, nil
}

// PutManifest stores a manifest in a repository under a tag, or under its
// digest only. It refuses an invalid manifest with an *slipway.Error, and one
// whose digest differs from reference with ErrDigest. Everything the manifest
// refers to must be the repository's: otherwise the error wraps ErrNotFound. The
// error wraps ErrImmutable if the tag can't be moved.
func (s *Store) PutManifest(ctx context.Context, repo, reference, mediaType string, body []byte) (Manifest, error) {
	if err := CheckRepository(repo); err != nil {
		return Manifest{}, err
	}
	h, tag := hashOf(body), reference
	if strings.Contains(reference, ":") {
		want, err := parseDigest(reference)
		if err != nil {
			return Manifest{}, err
		}
		if want != h {
			return Manifest{}, fmt.Errorf("%w: want %s, got %s", ErrDigest, want, h)
		}
		tag = ""
	} else if err := CheckTag(tag); err != nil {
		return Manifest{}, err
	}
	if len(body) > MaxManifest {
		return Manifest{}, slipway.Errorf(slipway.InvalidRequest, "The manifest has %d bytes; at most %d are allowed.", len(body), MaxManifest)
	}
	m, err := parseManifest(body, types.MediaType(mediaType))
	if err != nil {
		return Manifest{}, err
	}
	l := s.leases.open()
	defer l.release()
	if err := s.requireMembers(repo, m); err != nil {
		return Manifest{}, err
	}
	if err := s.requireAll(l, m); err != nil {
		return Manifest{}, err
	}
	d := v1.Descriptor{MediaType: m.MediaType, Digest: h, Size: int64(len(body))}
	if err := s.ingest(ctx, l, d, bytes.NewReader(body)); err != nil {
		return Manifest{}, err
	}
	// A blob that was found may be of an upload that has not synced its name yet.
	if err := atomicfile.SyncDir(s.path("blobs/sha256")); err != nil {
		return Manifest{}, s.explain(err)
	}
	if err := s.link(repo, tag, d, m); err != nil {
		return Manifest{}, err
	}
	put := Manifest{Digest: h.String(), MediaType: string(m.MediaType), Body: body}
	if m.Subject != nil {
		put.Subject = m.Subject.Digest.String()
	}
	return put, nil
}

// requireAll protects everything that m refers to, down to the layers, and
// returns ErrNotFound if some of it is missing. Non-distributable layers are
// elsewhere by definition.
func (s *Store) requireAll(l *lease, m *manifest) error {
	for i, d := range m.descriptors() {
		if layer := i > 0 && m.Config != nil; layer && !d.MediaType.IsDistributable() {
			continue
		}
		ok, err := s.intact(l, d)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%s of %d bytes: %w", d.Digest, d.Size, ErrNotFound)
		}
	}
	return s.holdAll(l, m)
}

// holdAll protects everything below m that the store has. Children were
// complete when they were pushed; this only keeps them from a collection that
// runs meanwhile.
func (s *Store) holdAll(l *lease, m *manifest) error {
	seen := map[v1.Hash]bool{}
	for todo := []*manifest{m}; len(todo) > 0; {
		m, todo = todo[0], todo[1:]
		for _, d := range m.descriptors() {
			l.hold(blobKey(d.Digest))
		}
		for _, d := range m.Manifests {
			if seen[d.Digest] {
				continue
			}
			seen[d.Digest] = true
			child, err := s.readManifest(d.Digest)
			if errors.Is(err, ErrNotFound) || slipway.CodeOf(err) != "" {
				continue
			}
			if err != nil {
				return err
			}
			todo = append(todo, child)
		}
	}
	return nil
}

// link adds a stored manifest to the repository and points tag to it, unless
// tag is empty.
func (s *Store) link(repo, tag string, d v1.Descriptor, m *manifest) error {
	s.repositories.Lock()
	defer s.repositories.Unlock()
	if err := s.mayTag(repo, tag, d.Digest); err != nil {
		return err
	}
	if err := s.admit(repo, m.members()...); err != nil {
		return err
	}
	if m.Subject != nil {
		if err := s.linkReferrer(repo, d, m); err != nil {
			return err
		}
	}
	if err := s.writeJSON(s.repositoryPath(repo, manifestDir, d.Digest.Hex), entry{d, s.since(repo, d.Digest)}); err != nil {
		return err
	}
	if tag == "" {
		return nil
	}
	if err := s.mkdir(s.repositoryPath(repo, tagDir)); err != nil {
		return err
	}
	return s.writeFile(s.repositoryPath(repo, tagDir, tag), []byte(d.Digest.String()))
}

func (s *Store) writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := s.mkdir(filepath.Dir(path)); err != nil {
		return err
	}
	return s.writeFile(path, b)
}

// mkdir makes a directory and its parents, durably.
func (s *Store) mkdir(path string) error {
	if ok, err := exists(path); ok || err != nil {
		return err
	}
	if err := s.mkdir(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return s.explain(err)
	}
	if err := atomicfile.SyncDir(filepath.Dir(path)); err != nil {
		os.Remove(path) // what is there counts as durable
		return s.explain(err)
	}
	return nil
}

// DeleteTag removes a tag and keeps its manifest. ErrNotFound if the tag does
// not exist.
func (s *Store) DeleteTag(repo, tag string) error {
	if err := errors.Join(CheckRepository(repo), CheckTag(tag)); err != nil {
		return err
	}
	s.repositories.Lock()
	defer s.repositories.Unlock()
	err := os.Remove(s.repositoryPath(repo, tagDir, tag))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s:%s: %w", repo, tag, ErrNotFound)
	}
	if err != nil {
		return err
	}
	return s.prune(repo)
}

// DeleteManifest removes a manifest from a repository with all its tags there.
// The next collection removes its content, unless something else refers to it.
// ErrNotFound if it does not exist.
func (s *Store) DeleteManifest(repo, digest string) error {
	h, err := parseDigest(digest)
	if err := errors.Join(CheckRepository(repo), err); err != nil {
		return err
	}
	s.repositories.Lock()
	defer s.repositories.Unlock()
	if ok, err := exists(s.repositoryPath(repo, manifestDir, h.Hex)); !ok || err != nil {
		return errors.Join(err, fmt.Errorf("%s@%s: %w", repo, h, ErrNotFound))
	}
	tags, err := readDir(s.repositoryPath(repo, tagDir))
	if err != nil {
		return err
	}
	for _, tag := range tags {
		target, err := s.tagTarget(repo, tag)
		if err != nil {
			s.name("tag "+repo+":"+tag, err)
			continue
		}
		if target != h {
			continue
		}
		if err := os.Remove(s.repositoryPath(repo, tagDir, tag)); err != nil {
			return err
		}
	}
	return s.unlink(repo, h)
}

// unlink removes an untagged manifest from a repository. The caller holds
// s.repositories.
func (s *Store) unlink(repo string, h v1.Hash) error {
	if m, err := s.readManifest(h); err == nil && m.Subject != nil {
		if err := s.unlinkReferrer(repo, m.Subject.Digest, h); err != nil {
			return err
		}
	}
	if err := os.Remove(s.repositoryPath(repo, manifestDir, h.Hex)); err != nil {
		return err
	}
	return s.prune(repo)
}

// prune removes a repository's empty directories, and the empty directories of
// its name. What was removed from the others is then removed on disk, too. The caller
// holds s.repositories.
func (s *Store) prune(repo string) error {
	for _, d := range []string{tagDir, manifestDir, referrersDir, blobsDir} {
		path := s.repositoryPath(repo, d)
		if os.Remove(path) == nil { // it is empty
			continue
		}
		if err := atomicfile.SyncDir(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	dir := repo
	for ; dir != "."; dir = filepath.Dir(dir) {
		if err := os.Remove(s.path("repositories/" + dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return atomicfile.SyncDir(s.path("repositories/" + dir))
}

// Tags returns the tags of a repository in order. ErrNotFound if there is no
// such repository.
func (s *Store) Tags(repo string) ([]string, error) {
	if err := CheckRepository(repo); err != nil {
		return nil, err
	}
	known, err := exists(s.repositoryPath(repo, manifestDir))
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, fmt.Errorf("repository %s: %w", repo, ErrNotFound)
	}
	return readDir(s.repositoryPath(repo, tagDir))
}

// Repositories returns the names of all repositories in order. Directories that cannot be
// read are passed over.
func (s *Store) Repositories() ([]string, error) {
	names, err := s.readableDirectories(manifestDir)
	names = slices.DeleteFunc(names, func(n string) bool {
		err := CheckRepository(n)
		if err != nil {
			s.name("repository "+n, err)
		}
		return err != nil
	})
	// The walk's order is by component, where "a/b" comes before "a-b".
	slices.Sort(names)
	return names, err
}
