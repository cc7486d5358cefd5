package image

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openslipway/slipway/internal/atomicfile"
)

// blobsDir holds, in each repository, an empty file for each of its blobs, by the
// digest's hexadecimal digits: a blob that a manifest of the repository refers to, or
// that was uploaded or mounted to it. Blobs are stored once for all repositories, so
// without these files who knows a digest could read what somebody else pushed.
//
// A file's modification time is the blob's last use in the repository. A file that no
// manifest accounts for goes with the collection that may remove the blob itself, never
// later: a blob that somebody else pushes again is not this repository's.
const blobsDir = "_blobs"

func (s *Store) memberPath(repo string, h v1.Hash) string {
	return s.repositoryPath(repo, blobsDir, h.Hex)
}

// RepositoryBlob opens a blob of a repository for reading; the caller closes it. It counts
// as a use for garbage collection. ErrNotFound if the repository does not have the blob,
// whether another one has it or not.
func (s *Store) RepositoryBlob(repo, digest string) (io.ReadSeekCloser, error) {
	if _, err := s.RepositoryBlobSize(repo, digest); err != nil {
		return nil, err
	}
	return s.Blob(digest)
}

// RepositoryBlobSize returns the size of a repository's blob in bytes. It counts as a use
// for garbage collection: a client that finds the blob leaves it out of its push.
// ErrNotFound if the repository does not have the blob, whether another one has it or not.
func (s *Store) RepositoryBlobSize(repo, digest string) (int64, error) {
	h, err := parseDigest(digest)
	if err := errors.Join(CheckRepository(repo), err); err != nil {
		return 0, err
	}
	// Nothing outside of the repository is looked at before this succeeds, so that the
	// time of a refusal tells nothing either.
	ok, err := touch(s.memberPath(repo, h))
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, fmt.Errorf("blob %s: %w", h, ErrNotFound)
	}
	return s.BlobSize(digest)
}

// Mount makes a blob of the repository from one of the repository to. ErrNotFound if from
// does not have it.
func (s *Store) Mount(from, to, digest string) error {
	if err := CheckRepository(to); err != nil {
		return err
	}
	h, err := parseDigest(digest)
	if err != nil {
		return err
	}
	l := s.leases.open()
	defer l.release()
	l.hold(blobKey(h))
	l.hold(layerKey(h))
	if _, err := s.RepositoryBlobSize(from, digest); err != nil {
		return err
	}
	s.repositories.Lock()
	defer s.repositories.Unlock()
	return s.admit(to, h)
}

// CommitTo is Commit, and makes the blob one of the repository.
func (u *Upload) CommitTo(repo, digest string) error {
	if err := CheckRepository(repo); err != nil {
		return err
	}
	h, err := parseDigest(digest)
	if err != nil {
		return err
	}
	l := u.s.leases.open()
	defer l.release()
	l.hold(blobKey(h))
	l.hold(layerKey(h))
	if err := u.Commit(digest); err != nil {
		return err
	}
	u.s.repositories.Lock()
	defer u.s.repositories.Unlock()
	return u.s.admit(repo, h)
}

// admit makes blobs the repository's. The caller holds s.repositories.
func (s *Store) admit(repo string, blobs ...v1.Hash) error {
	if err := s.mkdir(s.repositoryPath(repo, blobsDir)); err != nil {
		return err
	}
	for _, h := range blobs {
		path := s.memberPath(repo, h)
		if ok, err := touch(path); ok || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		if err := makeEmpty(path); err != nil {
			return s.explain(err)
		}
	}
	// Also if all were there: an earlier sync may have failed.
	return s.explain(atomicfile.SyncDir(s.repositoryPath(repo, blobsDir)))
}

func makeEmpty(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// members returns the blobs that a manifest makes the repository's: all but its
// children, which are manifests of the repository themselves, and layers that are
// elsewhere by definition.
func (m *manifest) members() []v1.Hash {
	var hs []v1.Hash
	if m.Config != nil {
		hs = append(hs, m.Config.Digest)
	}
	for _, d := range m.Layers {
		if d.MediaType.IsDistributable() {
			hs = append(hs, d.Digest)
		}
	}
	return hs
}

// requireMembers returns ErrNotFound unless everything that m refers to is the
// repository's. The error names what is missing in the same words whether the server has
// it elsewhere or not.
func (s *Store) requireMembers(repo string, m *manifest) error {
	for _, h := range m.members() {
		if ok, err := touch(s.memberPath(repo, h)); err != nil {
			return err
		} else if !ok {
			return fmt.Errorf("%s: %w", h, ErrNotFound)
		}
	}
	for _, d := range m.Manifests {
		if ok, err := exists(s.repositoryPath(repo, manifestDir, d.Digest.Hex)); err != nil {
			return err
		} else if !ok {
			return fmt.Errorf("%s: %w", d.Digest, ErrNotFound)
		}
	}
	return nil
}

// referred returns the blobs that manifests of the repository refer to. all says that none of
// the manifests is damaged: else there may be more.
func (s *Store) referred(repo string) (blobs map[v1.Hash]bool, all bool, err error) {
	names, err := readDir(s.repositoryPath(repo, manifestDir))
	if err != nil {
		return nil, false, err
	}
	blobs, all = map[v1.Hash]bool{}, true
	for _, hex := range names {
		m, err := s.readManifest(v1.Hash{Algorithm: "sha256", Hex: hex})
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil { // it makes nothing the repository's
			s.name("manifest sha256:"+hex, err)
			all = false
			continue
		}
		for _, h := range m.members() {
			blobs[h] = true
		}
	}
	return blobs, all, nil
}

// DeleteBlob takes a blob from a repository. The next collection removes its content,
// unless another repository or an image has it. ErrNotFound if the repository does not
// have it, ErrInUse if one of its manifests refers to it.
func (s *Store) DeleteBlob(repo, digest string) error {
	h, err := parseDigest(digest)
	if err := errors.Join(CheckRepository(repo), err); err != nil {
		return err
	}
	s.repositories.Lock()
	defer s.repositories.Unlock()
	if ok, err := exists(s.memberPath(repo, h)); err != nil {
		return err
	} else if !ok {
		return fmt.Errorf("blob %s: %w", h, ErrNotFound)
	}
	used, all, err := s.referred(repo)
	if err != nil {
		return err
	}
	if used[h] {
		return fmt.Errorf("blob %s: %w: a manifest refers to it", h, ErrInUse)
	}
	if !all {
		return fmt.Errorf("blob %s: %w: a manifest that is damaged may refer to it; push that again, or delete it", h, ErrInUse)
	}
	if err := os.Remove(s.memberPath(repo, h)); err != nil {
		return err
	}
	return s.prune(repo)
}

// sweepMembers takes from a repository the blobs that none of its manifests refers to and
// that were last used before a time. A blob's own time may be a little older than that of
// its file here, so these files go a minute earlier.
func (s *Store) sweepMembers(repo string, before time.Time) error {
	s.repositories.Lock()
	defer s.repositories.Unlock()
	names, err := readDir(s.repositoryPath(repo, blobsDir))
	if err != nil || len(names) == 0 {
		return err
	}
	used, all, err := s.referred(repo)
	if err != nil || !all {
		return err
	}
	before = before.Add(time.Minute)
	swept := false
	for _, hex := range names {
		h := v1.Hash{Algorithm: "sha256", Hex: hex}
		fi, err := os.Lstat(s.memberPath(repo, h))
		if used[h] || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && !fi.ModTime().After(before) {
			err = os.Remove(s.memberPath(repo, h))
			swept = true
		}
		if err != nil {
			return err
		}
	}
	if !swept {
		return nil
	}
	return s.prune(repo)
}

// directories returns the names below repositories/ that have one of the given
// directories.
func (s *Store) directories(of ...string) ([]string, error) {
	return s.walk(func(_ string, err error) error { return err }, of)
}

// readableDirectories is directories without those that cannot be read, which are named.
func (s *Store) readableDirectories(of ...string) ([]string, error) {
	return s.walk(func(path string, err error) error { s.name(path, err); return nil }, of)
}

// walk is directories. bad is told of what cannot be read, and may end the walk.
func (s *Store) walk(bad func(path string, err error) error, of []string) ([]string, error) {
	var names []string
	root := s.path("repositories")
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != root {
			return nil // pruned meanwhile
		}
		if err == nil && e.Type()&fs.ModeSymlink != 0 {
			err = fmt.Errorf("%s is a link, which may lead to repositories: put what it leads to in its place, or remove it", path)
		}
		if err != nil && path != root {
			return bad(path, err)
		}
		if err != nil || !e.IsDir() {
			return err
		}
		if name := e.Name(); name[0] != '_' {
			return nil
		}
		for _, d := range of {
			if e.Name() == d {
				rel, err := filepath.Rel(root, filepath.Dir(path))
				if err != nil {
					return err
				}
				names = append(names, filepath.ToSlash(rel))
			}
		}
		return fs.SkipDir
	})
	return names, err
}

// addMembers makes the blobs that manifests refer to those of their repositories, in a
// store that was written before it recorded them.
func (s *Store) addMembers() error {
	repos, err := s.Repositories()
	if err != nil {
		return err
	}
	for _, repo := range repos {
		if known, err := exists(s.repositoryPath(repo, blobsDir)); known || err != nil {
			if err != nil {
				s.name("repository "+repo, err)
			}
			continue
		}
		if err := s.addMembersOf(repo); err != nil { // the next start tries again
			s.name("repository "+repo, fmt.Errorf("record its blobs: %w", err))
		}
	}
	return nil
}

// addMembersOf gives a repository its directory of blobs, complete or not at all.
func (s *Store) addMembersOf(repo string) error {
	used, _, err := s.referred(repo)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(s.path("tmp"), "members-*")
	if err != nil {
		return err
	}
	for h := range used {
		if err := makeEmpty(tmp + "/" + h.Hex); err != nil {
			return err
		}
	}
	if err := atomicfile.SyncDir(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, s.repositoryPath(repo, blobsDir)); err != nil {
		return err
	}
	return atomicfile.SyncDir(s.path("repositories/" + repo))
}
