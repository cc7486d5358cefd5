package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// This file holds what the store does about entries that it cannot read: content of another
// digest, texts cut short, directories and links in the place of files. One of them never
// stops the rest. It is named in the log and passed over, in lists as if it had no content.
// Pushing, pulling or building again replaces it. A collection removes nothing that it might
// refer to.

// name logs an entry that cannot be read, once.
func (s *Store) name(entry string, err error) {
	if _, known := s.named.LoadOrStore(entry, true); !known {
		s.log.Error("an entry of the image store is unreadable", "entry", entry, "err", err)
	}
}

// intact is present, and compares the content of what may be a manifest or a configuration
// with the digest. One that is damaged is absent: it is to be stored again.
func (s *Store) intact(l *lease, d v1.Descriptor) (bool, error) {
	ok, err := s.present(l, d)
	if !ok || err != nil || d.Size > MaxManifest {
		return ok, err
	}
	return s.sound(d.Digest), nil
}

// sound reports whether a small blob that exists has its digest.
func (s *Store) sound(h v1.Hash) bool {
	_, err := s.readBlob(h)
	if err == nil || errors.Is(err, ErrNotFound) { // made of a layer's directory when it is read
		return true
	}
	s.name("blob "+h.String(), err)
	return false
}

// makeWay moves away a directory that is where a file is to be written: nothing else ever
// replaces it. The next start removes it.
func (s *Store) makeWay(path string) error {
	if fi, err := os.Lstat(path); err != nil || !fi.IsDir() {
		return nil
	}
	s.name(path, errors.New("a directory is where a file should be"))
	aside, err := os.MkdirTemp(s.path("tmp"), "gone-*")
	if err != nil {
		return err
	}
	return os.Rename(path, aside+"/directory")
}

// tagTarget returns the digest that a tag of a repository refers to; ErrNotFound if the tag
// does not exist.
func (s *Store) tagTarget(repo, tag string) (v1.Hash, error) {
	b, err := readFile(s.repositoryPath(repo, tagDir, tag))
	if errors.Is(err, fs.ErrNotExist) {
		return v1.Hash{}, fmt.Errorf("%s:%s: %w", repo, tag, ErrNotFound)
	}
	if err != nil {
		return v1.Hash{}, fmt.Errorf("read the tag %s:%s: %w", repo, tag, err)
	}
	h, err := v1.NewHash(string(b))
	if err != nil {
		return v1.Hash{}, fmt.Errorf("the tag %s:%s is unreadable: it refers to %.100q. Push it again", repo, tag, b)
	}
	return h, nil
}

// doubt is what a marking pass could not read, and what that may refer to. Everything that
// may be referred to stays.
type doubt struct {
	any     bool            // something is unreadable: unpacked layers and records stay
	blobs   bool            // it may refer to any blob and any manifest
	members map[string]bool // repositories to whose blobs and manifests it may refer
}

// doubtTag is told of a tag that cannot be read: it may refer to any manifest of its
// repository.
func (s *Store) doubtTag(r *reach, repo, tag string, err error) error {
	s.name("tag "+repo+":"+tag, err)
	return s.doubtRepository(r, repo)
}

// doubtManifest is told of a manifest, or what belongs to one, that cannot be read. It may
// refer to what the repositories that have it have; one that no repository has was pulled,
// and may refer to anything.
func (s *Store) doubtManifest(r *reach, h v1.Hash, err error) error {
	s.name("manifest "+h.String(), err)
	repos, rerr := s.directories(manifestDir)
	if rerr != nil {
		return rerr
	}
	r.doubt.any = true
	found := false
	for _, repo := range repos {
		ok, err := exists(s.repositoryPath(repo, manifestDir, h.Hex))
		if err == nil && ok {
			err = s.doubtRepository(r, repo)
		}
		if err != nil {
			return err
		}
		found = found || ok
	}
	r.doubt.blobs = r.doubt.blobs || !found
	return nil
}

// doubtRepository keeps all that a repository has.
func (s *Store) doubtRepository(r *reach, repo string) error {
	r.doubt.any = true
	if r.doubt.members[repo] {
		return nil
	}
	r.doubt.members[repo] = true
	for _, dir := range []string{manifestDir, blobsDir} {
		names, err := readDir(s.repositoryPath(repo, dir))
		if err != nil {
			return err
		}
		for _, n := range names {
			r.blobs[v1.Hash{Algorithm: "sha256", Hex: n}] = true
		}
	}
	return nil
}
