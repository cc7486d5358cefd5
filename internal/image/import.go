package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/strictjson"
)

// ImportFile imports the saved image in a file, or the OCI layout in a
// directory: see Import.
func (s *Store) ImportFile(ctx context.Context, path, name string) ([]Image, error) {
	dir, err := isDir(path)
	if err != nil {
		return nil, err
	}
	if !dir {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("import image: %w", err)
		}
		defer f.Close()
		return s.Import(ctx, f, name)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("import image: %w", err)
	}
	defer root.Close()
	return s.importBundle(ctx, directory{s, root}, name)
}

// Import stores the images that r yields in the local registry. r is the output
// of `docker save` or a tar of an OCI layout, compressed
// or not. Images keep their
// names in it, without a registry's host; a non-empty name replaces the name of
// the only image.
func (s *Store) Import(ctx context.Context, r io.Reader, name string) ([]Image, error) {
	a, err := s.readArchive(ctx, r)
	if err != nil {
		return nil, s.explain(err)
	}
	defer a.close()
	return s.importBundle(ctx, a, name)
}

func (s *Store) importBundle(ctx context.Context, b bundle, name string) ([]Image, error) {
	if name != "" {
		if _, _, err := localName(name); err != nil {
			return nil, err
		}
	}
	im := &imports{s: s, b: b, l: s.leases.open(), name: name, incomplete: map[v1.Hash]bool{}}
	defer im.l.release()
	// Docker writes both since version 25; the layout holds more.
	images, err := im.layout(ctx)
	if errors.Is(err, fs.ErrNotExist) && len(images) == 0 {
		images, err = im.saved(ctx)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = fail(err, slipway.InvalidRequest, "This is not a saved image, or it is incomplete: %v.", err)
	case errors.Is(err, ErrDigest):
		err = fail(err, slipway.InvalidRequest, "The saved image is damaged: %v.", err)
	}
	return images, s.explain(err)
}

// imports is one call of Import.
type imports struct {
	s          *Store
	b          bundle
	l          *lease
	name       string           // for the only image; "" if images bring their names
	incomplete map[v1.Hash]bool // incomplete manifests
}

func (im *imports) read(name string) ([]byte, error) {
	r, err := im.b.open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readAll(r, name)
}

// layout imports an OCI layout. The error is fs.ErrNotExist if there is none.
func (im *imports) layout(ctx context.Context) ([]Image, error) {
	raw, err := im.read("index.json")
	if err != nil {
		return nil, err
	}
	index, err := parseManifest(raw, types.OCIImageIndex)
	if err != nil {
		return nil, err
	}
	entries, err := im.entries(index)
	if err != nil {
		return nil, err
	}
	var images []Image
	for _, d := range entries {
		name, err := im.nameOf(d)
		if err != nil {
			return images, err
		}
		m, err := im.tree(ctx, d, 0)
		if err != nil {
			return images, fmt.Errorf("import %s: %w", d.Digest, err)
		}
		if err := im.linkChildren(name, m, 0); err != nil {
			return images, err
		}
		img, err := im.s.tagStored(name, d, m)
		if err != nil {
			return images, err
		}
		images = append(images, img)
	}
	return images, nil
}

// entries returns what to import of a layout's index: every named entry; or, if
// the import sets the name, the only entry, or the only one that can run here.
func (im *imports) entries(index *manifest) ([]v1.Descriptor, error) {
	all := index.Manifests
	if len(all) == 0 {
		return nil, slipway.Errorf(slipway.InvalidRequest, "The OCI layout holds no image.")
	}
	if im.name == "" || len(all) == 1 {
		return all, nil
	}
	d, err := pick(im.name, index, im.s.platform)
	if err != nil {
		return nil, slipway.Errorf(slipway.InvalidRequest, "The OCI layout holds %d images; the name %q needs exactly one.", len(all), im.name)
	}
	return []v1.Descriptor{d}, nil
}

// nameOf returns the name to import an entry of a layout under.
func (im *imports) nameOf(d v1.Descriptor) (string, error) {
	if im.name != "" {
		return im.name, nil
	}
	if n := d.Annotations["io.containerd.image.name"]; n != "" {
		return n, nil
	}
	// Tools disagree on whether this is a full reference or only a tag.
	if n := d.Annotations["org.opencontainers.image.ref.name"]; strings.ContainsAny(n, ":/") {
		return n, nil
	}
	return "", slipway.Errorf(slipway.InvalidRequest, "The image %s in the OCI layout has no name: pass one.", d.Digest)
}

// tree stores a manifest of the layout with everything below it. Of an index,
// images that the layout holds incompletely are skipped: it may list platforms
// that nobody pulled.
func (im *imports) tree(ctx context.Context, d v1.Descriptor, depth int) (*manifest, error) {
	if depth == maxNesting {
		return nil, slipway.Errorf(slipway.InvalidRequest, "The OCI layout has indexes nested deeper than %d.", maxNesting)
	}
	if _, err := im.b.store(ctx, im.l, blobName(d.Digest), &d); err != nil {
		return nil, err
	}
	raw, err := im.s.readBlob(d.Digest)
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(raw, d.MediaType)
	if err != nil {
		return nil, err
	}
	if m.MediaType.IsIndex() {
		for _, child := range m.Manifests {
			_, err := im.tree(ctx, child, depth+1)
			if errors.Is(err, fs.ErrNotExist) {
				im.incomplete[child.Digest] = true
			} else if err != nil {
				return nil, err
			}
		}
		return m, nil
	}
	for _, d := range m.descriptors() {
		if _, err := im.b.store(ctx, im.l, blobName(d.Digest), &d); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// linkChildren adds the manifests that an index lists, if the store has them,
// to the repository, so that they can be pulled by digest.
func (im *imports) linkChildren(name string, m *manifest, depth int) error {
	repo, _, err := localName(name)
	if err != nil || depth == maxNesting {
		return err
	}
	for _, d := range m.Manifests {
		if im.incomplete[d.Digest] {
			continue
		}
		child, err := im.s.readManifest(d.Digest)
		if err != nil {
			return err
		}
		d := v1.Descriptor{MediaType: child.MediaType, Digest: d.Digest, Size: d.Size}
		if err := im.s.link(repo, "", d, child); err != nil {
			return err
		}
		if err := im.linkChildren(name, child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// savedImage is an entry of the manifest.json that `docker save` writes.
type savedImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// saved imports the output of `docker save`.
func (im *imports) saved(ctx context.Context) ([]Image, error) {
	raw, err := im.read("manifest.json")
	if err != nil {
		return nil, err
	}
	var list []savedImage
	if err := strictjson.Unmarshal(raw, &list); err != nil {
		return nil, slipway.Errorf(slipway.InvalidRequest, "The saved image has an unreadable manifest.json: %v.", err)
	}
	if len(list) == 0 || im.name != "" && len(list) > 1 {
		return nil, slipway.Errorf(slipway.InvalidRequest, "The file holds %d images; the name %q needs exactly one.", len(list), im.name)
	}
	var images []Image
	for _, si := range list {
		names := si.RepoTags
		if im.name != "" {
			names = []string{im.name}
		}
		if len(names) == 0 {
			return images, slipway.Errorf(slipway.InvalidRequest, "The saved image %s has no name: pass one.", si.Config)
		}
		d, m, err := im.savedManifest(ctx, si)
		if err != nil {
			return images, err
		}
		for _, n := range names {
			img, err := im.s.tagStored(n, d, m)
			if err != nil {
				return images, err
			}
			images = append(images, img)
		}
	}
	return images, nil
}

// savedManifest stores a saved image's content and makes the manifest that
// `docker save` leaves out. Layers are stored as they come, usually
// uncompressed: here disk is cheaper than the time to compress.
func (im *imports) savedManifest(ctx context.Context, si savedImage) (v1.Descriptor, *manifest, error) {
	config := v1.Descriptor{}
	if _, err := im.b.store(ctx, im.l, si.Config, &config); err != nil {
		return v1.Descriptor{}, nil, err
	}
	config.MediaType = types.OCIConfigJSON
	made := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Layers: []v1.Descriptor{}}
	for _, name := range si.Layers {
		layer := v1.Descriptor{}
		head, err := im.b.store(ctx, im.l, name, &layer)
		if err != nil {
			return v1.Descriptor{}, nil, err
		}
		layer.MediaType = savedLayer(head)
		made.Layers = append(made.Layers, layer)
	}
	raw, err := json.Marshal(made)
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	m, err := parseManifest(raw, "")
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	if err := im.checkSaved(si.Config, m); err != nil {
		return v1.Descriptor{}, nil, err
	}
	d := v1.Descriptor{MediaType: m.MediaType, Digest: hashOf(raw), Size: int64(len(raw))}
	return d, m, im.s.ingest(ctx, im.l, d, bytes.NewReader(raw))
}

// checkSaved refuses a saved image whose uncompressed layers differ from those
// its configuration lists. Compressed layers are checked when they are
// unpacked.
func (im *imports) checkSaved(name string, m *manifest) error {
	if err := im.s.checkContainer(name, m); err != nil {
		return err
	}
	cf, err := im.s.readConfig(name, m)
	if err != nil {
		return err
	}
	for i, d := range m.Layers {
		if d.MediaType == types.OCIUncompressedLayer && d.Digest != cf.RootFS.DiffIDs[i] {
			return fmt.Errorf("%w: layer %d is %s, want %s", ErrDigest, i, d.Digest, cf.RootFS.DiffIDs[i])
		}
	}
	return nil
}
