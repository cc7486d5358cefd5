package image

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// annotationSBOM is the annotation of a manifest that holds the digest of the list of
// software in the image: a blob of the store, a CycloneDX document under gzip.
const annotationSBOM = "io.slipway.sbom"

// maxSBOM is the size of the largest list that is read, in bytes.
const maxSBOM = 64 << 20

// putSBOM stores the list of software of an image that is being made.
func (s *Store) putSBOM(ctx context.Context, l *lease, m *v1.Manifest, document []byte) error {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(document); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	h := hashOf(b.Bytes())
	if err := s.ingest(ctx, l, v1.Descriptor{Digest: h, Size: int64(b.Len())}, &b); err != nil {
		return fmt.Errorf("store the SBOM: %w", err)
	}
	m.Annotations = map[string]string{annotationSBOM: h.String()}
	return nil
}

// sbomOf returns the digest of the list of software that a manifest names.
func sbomOf(m *manifest) (h v1.Hash, ok bool) {
	h, err := parseDigest(m.Annotations[annotationSBOM])
	return h, err == nil
}

// SBOM returns the list of software in the image with that manifest digest, as a
// CycloneDX document. ErrNotFound if it has none, or the store does not have it.
func (s *Store) SBOM(digest string) ([]byte, error) {
	h, err := parseDigest(digest)
	if err != nil {
		return nil, err
	}
	m, err := s.readManifest(h)
	if err != nil {
		return nil, err
	}
	list, ok := sbomOf(m)
	if !ok {
		return nil, fmt.Errorf("the SBOM of %s: %w", digest, ErrNotFound)
	}
	packed, err := s.readBlob(list)
	if err != nil {
		return nil, fmt.Errorf("read the SBOM of %s: %w", digest, err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("read the SBOM of %s: %w", digest, err)
	}
	document, err := io.ReadAll(io.LimitReader(z, maxSBOM))
	if err != nil {
		return nil, fmt.Errorf("read the SBOM of %s: %w", digest, err)
	}
	return document, nil
}
