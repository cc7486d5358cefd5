package image

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openslipway/slipway/internal/atomicfile"
)

// linkReferrer records that d, whose content is m, is about m's subject. The
// record is the descriptor that the referrers list shows. The caller holds
// s.repositories.
func (s *Store) linkReferrer(repo string, d v1.Descriptor, m *manifest) error {
	d.Annotations = m.Annotations
	d.ArtifactType = m.ArtifactType
	if d.ArtifactType == "" && m.Config != nil {
		d.ArtifactType = string(m.Config.MediaType)
	}
	return s.writeJSON(s.repositoryPath(repo, referrersDir, m.Subject.Digest.Hex, d.Digest.Hex), d)
}

// unlinkReferrer removes such a record. The caller holds s.repositories.
func (s *Store) unlinkReferrer(repo string, subject, referrer v1.Hash) error {
	dir := s.repositoryPath(repo, referrersDir, subject.Hex)
	if err := os.Remove(dir + "/" + referrer.Hex); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if os.Remove(dir) == nil { // it is empty
		return nil
	}
	if err := atomicfile.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Referrers returns the descriptors of the repository's manifests whose
// subject is digest, whether that exists or not.
func (s *Store) Referrers(repo, digest string) ([]v1.Descriptor, error) {
	h, err := parseDigest(digest)
	if err := errors.Join(CheckRepository(repo), err); err != nil {
		return nil, err
	}
	dir := s.repositoryPath(repo, referrersDir, h.Hex)
	names, err := readDir(dir)
	if err != nil {
		return nil, err
	}
	ds := make([]v1.Descriptor, 0, len(names))
	for _, n := range names {
		b, err := os.ReadFile(dir + "/" + n)
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		var d v1.Descriptor
		if err == nil {
			err = json.Unmarshal(b, &d)
		}
		if err != nil {
			s.name("referrer "+n+" of "+h.String()+" in "+repo, err)
			continue
		}
		ds = append(ds, d)
	}
	return ds, nil
}
