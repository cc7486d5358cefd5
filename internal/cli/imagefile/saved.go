package imagefile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/openslipway/slipway/internal/decompress"
)

// savedManifest is an entry of the manifest.json that `docker save` writes.
type savedManifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// saved is an image of `docker save`, with the manifest that the file lacks. Layers
// are sent as they are, usually uncompressed: to a nearby server, compressing
// takes longer than sending.
type saved struct {
	config   []byte
	manifest []byte
	layers   map[v1.Hash]savedLayer
}

var _ partial.CompressedImageCore = (*saved)(nil)

// manifestOf parses an archive's manifest.json.
func manifestOf(files map[string]entry) ([]savedManifest, error) {
	raw, err := read(files, "manifest.json")
	if err != nil {
		return nil, err
	}
	var list []savedManifest
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	return list, nil
}

// newSaved opens the image of m, and reads all its layers once.
func newSaved(files map[string]entry, m savedManifest) (*saved, error) {
	s := &saved{layers: map[v1.Hash]savedLayer{}}
	var err error
	if s.config, err = read(files, path.Clean(m.Config)); err != nil {
		return nil, err
	}
	cfg, err := v1.ParseConfigFile(bytes.NewReader(s.config))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Config, err)
	}
	if len(cfg.RootFS.DiffIDs) != len(m.Layers) {
		return nil, fmt.Errorf("the config names %d layers, manifest.json %d", len(cfg.RootFS.DiffIDs), len(m.Layers))
	}
	digest, size, err := v1.SHA256(bytes.NewReader(s.config))
	if err != nil {
		return nil, err
	}
	made := v1.Manifest{
		SchemaVersion: 2,
		MediaType:     types.OCIManifestSchema1,
		Config:        v1.Descriptor{MediaType: types.OCIConfigJSON, Size: size, Digest: digest},
		Layers:        []v1.Descriptor{},
	}
	for i, name := range m.Layers {
		layer, err := newSavedLayer(files, path.Clean(name))
		if err != nil {
			return nil, err
		}
		if layer.desc.MediaType == types.OCIUncompressedLayer && layer.desc.Digest != cfg.RootFS.DiffIDs[i] {
			return nil, fmt.Errorf("layer %s is damaged: it is %s, the config says %s", name, layer.desc.Digest, cfg.RootFS.DiffIDs[i])
		}
		s.layers[layer.desc.Digest] = layer
		made.Layers = append(made.Layers, layer.desc)
	}
	s.manifest, err = json.Marshal(made)
	return s, err
}

// RawConfigFile returns the config in the file.
func (s *saved) RawConfigFile() ([]byte, error) { return s.config, nil }

// RawManifest returns the generated manifest.
func (s *saved) RawManifest() ([]byte, error) { return s.manifest, nil }

// MediaType returns the manifest's.
func (s *saved) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// LayerByDigest returns a layer, or the config as one.
func (s *saved) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	if layer, ok := s.layers[h]; ok {
		return layer, nil
	}
	return nil, fmt.Errorf("the image has no layer %s", h)
}

// savedLayer is a layer in the archive.
type savedLayer struct {
	entry
	desc v1.Descriptor
}

var _ partial.CompressedLayer = savedLayer{}

func newSavedLayer(files map[string]entry, name string) (savedLayer, error) {
	e, ok := files[name]
	if !ok {
		return savedLayer{}, fmt.Errorf("layer %s is not in the archive", name)
	}
	r, err := e.open()
	if err != nil {
		return savedLayer{}, err
	}
	defer r.Close()
	var head [decompress.HeadSize]byte
	n, err := io.ReadFull(r, head[:])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return savedLayer{}, err
	}
	digest, size, err := v1.SHA256(io.MultiReader(bytes.NewReader(head[:n]), r))
	if err != nil {
		return savedLayer{}, err
	}
	return savedLayer{e, v1.Descriptor{MediaType: layerType(head[:n]), Size: size, Digest: digest}}, nil
}

// layerType determines from a layer's first bytes how it is compressed.
func layerType(head []byte) types.MediaType {
	switch decompress.Detect(head) {
	case decompress.None:
		return types.OCIUncompressedLayer
	case decompress.Zstd:
		return types.OCILayerZStd
	}
	return types.OCILayer // also of xz and bzip2, for which OCI has no type: who unpacks looks
}

// Digest returns the digest of the layer in the archive.
func (l savedLayer) Digest() (v1.Hash, error) { return l.desc.Digest, nil }

// Compressed returns the layer in the archive.
func (l savedLayer) Compressed() (io.ReadCloser, error) { return l.open() }

// Size returns the size in bytes of the layer in the archive.
func (l savedLayer) Size() (int64, error) { return l.desc.Size, nil }

// MediaType returns how the layer is compressed.
func (l savedLayer) MediaType() (types.MediaType, error) { return l.desc.MediaType, nil }

// read returns a small file of an archive.
func read(files map[string]entry, name string) ([]byte, error) {
	const largest = 8 << 20
	e, ok := files[name]
	if !ok {
		return nil, fmt.Errorf("%s is not in the archive", name)
	}
	if e.size > largest {
		return nil, fmt.Errorf("%s has %d bytes, %d at most", name, e.size, largest)
	}
	r, err := e.open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
