package image

import (
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/strictjson"
)

// MaxManifest is the largest size of a manifest and of an image's
// configuration, in bytes. Registries commonly use the same limit.
const MaxManifest = 4 << 20

// dockerLayerZstd is the media type that Docker writes; package types has only
// OCI's.
const dockerLayerZstd types.MediaType = "application/vnd.docker.image.rootfs.diff.tar.zstd"

// manifest is an image manifest or an index, in OCI's or Docker's form, which
// agree in all fields used here.
type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     types.MediaType   `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        *v1.Descriptor    `json:"config"`
	Layers        []v1.Descriptor   `json:"layers"`
	Manifests     []v1.Descriptor   `json:"manifests"`
	Subject       *v1.Descriptor    `json:"subject"`
	Annotations   map[string]string `json:"annotations"`
}

// parseManifest parses a manifest that came with mediaType, "" if unknown.
func parseManifest(b []byte, mediaType types.MediaType) (*manifest, error) {
	var m manifest
	if mediaType.IsSchema1() {
		return nil, errSchema1()
	}
	if err := strictjson.Unmarshal(b, &m); err != nil {
		return nil, slipway.Errorf(slipway.InvalidRequest, "The manifest is not readable: %v.", err)
	}
	if m.SchemaVersion == 1 {
		return nil, errSchema1()
	}
	if m.MediaType == "" {
		m.MediaType = mediaType
	}
	if m.MediaType == "" {
		m.MediaType = types.OCIManifestSchema1
		if m.Manifests != nil {
			m.MediaType = types.OCIImageIndex
		}
	}
	return &m, m.check(mediaType)
}

// check refuses a manifest that two readers could interpret differently.
func (m *manifest) check(mediaType types.MediaType) error {
	switch {
	case m.SchemaVersion != 2:
		return slipway.Errorf(slipway.InvalidRequest, "The manifest has schemaVersion %d; it must be 2.", m.SchemaVersion)
	case mediaType != "" && m.MediaType != mediaType:
		return slipway.Errorf(slipway.InvalidRequest, "The manifest calls itself %q but came as %q.", m.MediaType, mediaType)
	case m.MediaType.IsIndex():
		if m.Config != nil || m.Layers != nil {
			return slipway.Errorf(slipway.InvalidRequest, "The manifest is an index that has a config or layers.")
		}
	case m.MediaType.IsImage():
		if m.Config == nil || m.Manifests != nil {
			return slipway.Errorf(slipway.InvalidRequest, "The manifest is an image manifest without config or with manifests.")
		}
	default:
		return slipway.Errorf(slipway.InvalidRequest, "The media type %q is not that of an image manifest or an index of OCI or Docker (schema 2).", m.MediaType)
	}
	refs := m.descriptors()
	if m.Subject != nil {
		refs = append(refs, *m.Subject)
	}
	for _, d := range refs {
		if d.Digest.Algorithm != "sha256" || d.Size < 0 {
			return slipway.Errorf(slipway.InvalidRequest, "The manifest refers to %s of %d bytes; digests must be sha256.", d.Digest, d.Size)
		}
	}
	return nil
}

func errSchema1() error {
	return slipway.Errorf(slipway.InvalidRequest, "The image has a manifest of Docker's schema 1, which was deprecated in 2017. Push it again with a current tool.")
}

// descriptors returns everything the manifest consists of, without its subject.
func (m *manifest) descriptors() []v1.Descriptor {
	var ds []v1.Descriptor
	if m.Config != nil {
		ds = append(ds, *m.Config)
	}
	ds = append(ds, m.Layers...)
	return append(ds, m.Manifests...)
}

// isContainer reports whether the manifest is that of a runnable image and not
// of another artifact.
func (m *manifest) isContainer() bool {
	return m.MediaType.IsImage() && m.Config != nil && m.Config.MediaType.IsConfig()
}

// checkContainer refuses an image that can't run here, before its layers are
// fetched.
func (s *Store) checkContainer(ref string, m *manifest) error {
	if !m.isContainer() {
		kind := string(m.Config.MediaType)
		if m.ArtifactType != "" {
			kind = m.ArtifactType
		}
		return slipway.Errorf(slipway.InvalidRequest, "%q is not a container image but an artifact of type %q.", ref, kind)
	}
	if len(m.Layers) > s.limits.Layers {
		return slipway.Errorf(slipway.InvalidRequest, "The image %q has %d layers; at most %d are allowed.", ref, len(m.Layers), s.limits.Layers)
	}
	var total int64
	for _, d := range m.Layers {
		if !d.MediaType.IsDistributable() || !d.MediaType.IsLayer() && d.MediaType != dockerLayerZstd {
			return slipway.Errorf(slipway.InvalidRequest, "The image %q has a layer of type %q, which cannot run here.", ref, d.MediaType)
		}
		if total += d.Size; total < d.Size || total > s.limits.ImageBytes {
			return slipway.Errorf(slipway.InvalidRequest, "The image %q is larger than the %s allowed.", ref, bytesText(s.limits.ImageBytes))
		}
	}
	if m.Config.Size > MaxManifest {
		return slipway.Errorf(slipway.InvalidRequest, "The image %q has a configuration of %s; at most %s are allowed.", ref, bytesText(m.Config.Size), bytesText(MaxManifest))
	}
	return nil
}

// readManifest returns a manifest of the store.
func (s *Store) readManifest(h v1.Hash) (*manifest, error) {
	b, err := s.readBlob(h)
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(b, "")
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", h, err)
	}
	return m, nil
}
