package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/openslipway/slipway"
)

// Adoption is an image to be made of directories.
type Adoption struct {
	// Base is the manifest digest of an image of the store, whose layers become
	// the lowest ones; "" for none.
	Base string
	// Layers lie over those of Base, lowest first.
	Layers []NewLayer
	// Config is the configuration, all of it: nothing is taken from that of Base.
	Config RunConfig
	// Container, unless it is nil, is the object "config" of the configuration file. It
	// has members that RunConfig has not, such as OnBuild; where both have one, that of
	// Config counts, unless it is empty.
	Container json.RawMessage
	Created   time.Time
	// SBOM lists the software in the image, as a CycloneDX document; nil for none. It
	// is a part of the image: the manifest names its digest.
	SBOM []byte
	// Name tags the image in the local registry as "repository:tag"; "" for no
	// name. An image without a name stays until a collection whose keep lacks it.
	Name string
}

// NewLayer is a directory that becomes a layer: in the form that overlayfs takes,
// with the image's ids, and reachable for nobody else.
type NewLayer struct {
	Dir     string // on the store's file system
	DiffID  string // of the tar that package pack makes of Dir
	Size    int64  // bytes of that tar
	Entries int    // of that tar
	By      string // what made it, for the image's history
}

// Adopt makes an image of directories without making tars of them. The
// directories move into the store, also when an error is returned later; the
// caller removes what is left of them.
//
// The layers are uncompressed, so the digest of each is its diff id. Whoever asks
// for the blob of such a layer gets a tar that is made of the directory meanwhile:
// see [Store.Blob]. All of the image has reached the disk when Adopt returns.
func (s *Store) Adopt(ctx context.Context, a Adoption) (Image, error) {
	l := s.leases.open()
	defer l.release()
	m, cf, err := s.adoptionBase(l, a.Base)
	if err != nil {
		return Image{}, fmt.Errorf("adopt image: %w", err)
	}
	var fresh []v1.Hash
	for _, layer := range a.Layers {
		h, err := parseDigest(layer.DiffID)
		if err != nil {
			return Image{}, err
		}
		unsynced, err := s.adoptLayer(ctx, l, h, layer)
		if err != nil {
			return Image{}, s.explain(fmt.Errorf("adopt layer %s: %w", h, err))
		}
		if unsynced {
			fresh = append(fresh, h)
		}
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: types.OCIUncompressedLayer, Digest: h, Size: layer.Size})
		cf.RootFS.DiffIDs = append(cf.RootFS.DiffIDs, h)
		cf.History = append(cf.History, v1.History{Created: v1.Time{Time: a.Created}, CreatedBy: layer.By})
	}
	if err := s.syncAdopted(fresh); err != nil {
		return Image{}, err
	}
	cf.Created = v1.Time{Time: a.Created}
	if cf.Config, err = containerConfig(a); err != nil {
		return Image{}, err
	}
	if len(a.SBOM) > 0 {
		if err := s.putSBOM(ctx, l, m, a.SBOM); err != nil {
			return Image{}, err
		}
	}
	return s.putAdopted(ctx, l, a.Name, m, cf)
}

// adoptionBase returns the manifest and the configuration to add layers to, with
// everything of the base protected by l.
func (s *Store) adoptionBase(l *lease, base string) (*v1.Manifest, *v1.ConfigFile, error) {
	m := &v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Layers: []v1.Descriptor{}}
	cf := &v1.ConfigFile{OS: s.platform.OS, Architecture: s.platform.Architecture, Variant: s.platform.Variant}
	cf.RootFS.Type = "layers"
	if base == "" {
		return m, cf, nil
	}
	h, err := parseDigest(base)
	if err != nil {
		return nil, nil, err
	}
	l.hold(blobKey(h))
	bm, err := s.readManifest(h)
	if err != nil {
		return nil, nil, err
	}
	if err := s.checkContainer(base, bm); err != nil {
		return nil, nil, err
	}
	bcf, err := s.readConfig(base, bm)
	if err != nil {
		return nil, nil, err
	}
	for i, d := range bm.Layers {
		l.hold(layerKey(bcf.RootFS.DiffIDs[i]))
		ok, err := s.present(l, d)
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			return nil, nil, fmt.Errorf("layer %s of the base %s: %w", d.Digest, base, ErrNotFound)
		}
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: ociLayerType(d.MediaType), Digest: d.Digest, Size: d.Size})
	}
	cf.RootFS.DiffIDs = slices.Clone(bcf.RootFS.DiffIDs)
	if historyFits(bcf) {
		cf.History = slices.Clone(bcf.History)
	} else {
		for range m.Layers {
			cf.History = append(cf.History, v1.History{Created: bcf.Created})
		}
	}
	return m, cf, nil
}

// historyFits reports whether a history has one entry for each layer: some tools
// refuse images where it has not.
func historyFits(cf *v1.ConfigFile) bool {
	n := 0
	for _, h := range cf.History {
		if !h.EmptyLayer {
			n++
		}
	}
	return n == len(cf.RootFS.DiffIDs)
}

// ociLayerType returns OCI's media type for a layer that came as Docker's.
func ociLayerType(t types.MediaType) types.MediaType {
	switch t {
	case types.DockerLayer:
		return types.OCILayer
	case types.DockerUncompressedLayer:
		return types.OCIUncompressedLayer
	case dockerLayerZstd:
		return types.OCILayerZStd
	}
	return t
}

// adoptLayer moves a directory into the store, or removes it if the store has the
// layer already. It reports whether the layer is still to be synced.
func (s *Store) adoptLayer(ctx context.Context, l *lease, h v1.Hash, layer NewLayer) (fresh bool, err error) {
	l.hold(layerKey(h))
	l.hold(blobKey(h))
	err = s.flights.do(ctx, layerKey(h), func() error {
		old, err := s.readLayerNote(h)
		if err == nil {
			fresh = old.Boot != "" // unpacked, or adopted by a process that was killed
			if _, err := touch(s.layerPath(h)); err != nil {
				return err
			}
			if old.Tar == 0 {
				if err := s.editNote(h, func(n *layerNote) { n.Tar = layer.Size }); err != nil {
					return err
				}
			}
			return os.RemoveAll(layer.Dir)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		fresh = true
		return s.moveLayer(h, layer)
	})
	return fresh, err
}

func (s *Store) moveLayer(h v1.Hash, layer NewLayer) (err error) {
	tmp, err := os.MkdirTemp(s.path("tmp"), "layer-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	note, err := json.Marshal(layerNote{Bytes: layer.Size, Entries: layer.Entries, Tar: layer.Size, Boot: s.boot})
	if err != nil {
		return err
	}
	if err := os.WriteFile(tmp+"/note.json", note, 0o600); err != nil {
		return err
	}
	if err := os.Rename(layer.Dir, tmp+"/fs"); err != nil {
		return err
	}
	if err := os.Chmod(tmp+"/fs", 0o755); err != nil {
		return err
	}
	return os.Rename(tmp, s.layerPath(h))
}

// syncAdopted makes layers durable: an unpacked layer can be unpacked again after a
// crash of the machine, an adopted one is nowhere else.
func (s *Store) syncAdopted(fresh []v1.Hash) error {
	if len(fresh) == 0 {
		return nil
	}
	if err := s.syncAll(); err != nil {
		return err
	}
	for _, h := range fresh {
		if err := s.editNote(h, func(n *layerNote) { n.Boot = "" }); err != nil {
			return err
		}
	}
	return nil
}

// putAdopted stores the manifest and the configuration of an adopted image.
func (s *Store) putAdopted(ctx context.Context, l *lease, name string, made *v1.Manifest, cf *v1.ConfigFile) (Image, error) {
	config, err := json.Marshal(cf)
	if err != nil {
		return Image{}, err
	}
	made.Config = v1.Descriptor{MediaType: types.OCIConfigJSON, Digest: hashOf(config), Size: int64(len(config))}
	raw, err := json.Marshal(made)
	if err != nil {
		return Image{}, err
	}
	m, err := parseManifest(raw, "")
	if err != nil {
		return Image{}, err
	}
	if err := s.checkContainer(name, m); err != nil {
		return Image{}, err
	}
	if len(raw) > MaxManifest || len(config) > MaxManifest {
		return Image{}, slipway.Errorf(slipway.InvalidRequest, "The image %q has too large a configuration.", name)
	}
	if err := s.ingest(ctx, l, made.Config, bytes.NewReader(config)); err != nil {
		return Image{}, err
	}
	d := v1.Descriptor{MediaType: m.MediaType, Digest: hashOf(raw), Size: int64(len(raw))}
	if err := s.ingest(ctx, l, d, bytes.NewReader(raw)); err != nil {
		return Image{}, err
	}
	return s.tagStored(name, d, m)
}

func containerConfig(a Adoption) (v1.Config, error) {
	c := configFile(a.Config)
	if a.Container == nil {
		return c, nil
	}
	var full v1.Config
	if err := json.Unmarshal(a.Container, &full); err != nil {
		return c, slipway.Errorf(slipway.InvalidRequest, "The image has an unreadable configuration: %v.", err)
	}
	// What is empty is left out, and so leaves what is there.
	set, err := json.Marshal(c)
	if err == nil {
		err = json.Unmarshal(set, &full)
	}
	return full, err
}

func configFile(c RunConfig) v1.Config {
	cf := v1.Config{
		Entrypoint: c.Entrypoint, Cmd: c.Cmd, Env: c.Env, WorkingDir: c.Dir, User: c.User,
		StopSignal: c.StopSignal, Labels: c.Labels,
	}
	for _, v := range c.Volumes {
		if cf.Volumes == nil {
			cf.Volumes = map[string]struct{}{}
		}
		cf.Volumes[v] = struct{}{}
	}
	for _, p := range c.Ports {
		if cf.ExposedPorts == nil {
			cf.ExposedPorts = map[string]struct{}{}
		}
		cf.ExposedPorts[p] = struct{}{}
	}
	return cf
}
