package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/strictjson"
)

// Image is a complete image in the store, for the store's platform.
type Image struct {
	Digest string // of its manifest, "sha256:..."
	Ref    string // reference it last came under, for people; "" when it had none
	Config RunConfig
	Size   int64 // bytes of configuration and layers as stored
	Layers []Layer
}

// RunConfig is how an image's configuration says to run it.
type RunConfig struct {
	Entrypoint, Cmd []string
	Env             []string // "NAME=value"
	Dir             string   // working directory
	User            string   // "", "uid", "name", "uid:gid", "name:group"
	Volumes         []string // directories to make if the image lacks them, in order
	Ports           []string // exposed ports in order, "8080/tcp"
	StopSignal      string   // "SIGTERM", "15"; "" when the configuration sets none
	Labels          map[string]string
}

// LabelShell is NoShell on an image that was built here and has no shell to run a start
// command.
const (
	LabelShell = "io.slipway.shell"
	NoShell    = "none"
)

// Layer is one layer of an image.
type Layer struct {
	Digest string // as stored
	DiffID string // uncompressed
	Size   int64  // bytes as stored
}

// Get returns the image with that manifest digest. ErrNotFound if the store
// does not have it, or not completely.
func (s *Store) Get(digest string) (Image, error) {
	h, err := parseDigest(digest)
	if err != nil {
		return Image{}, err
	}
	r, err := s.readRecord(h)
	if err != nil {
		return Image{}, err
	}
	return s.describe(h, r.Ref)
}

// ConfigFile returns the configuration file of an image, as it was made.
func (s *Store) ConfigFile(digest string) ([]byte, error) {
	h, err := parseDigest(digest)
	if err != nil {
		return nil, err
	}
	m, err := s.readManifest(h)
	if err != nil {
		return nil, err
	}
	if err := s.checkContainer(digest, m); err != nil {
		return nil, err
	}
	return s.readBlob(m.Config.Digest)
}

// describe reads an image's manifest and configuration.
func (s *Store) describe(h v1.Hash, ref string) (Image, error) {
	m, err := s.readManifest(h)
	if err != nil {
		return Image{}, err
	}
	name := ref
	if name == "" {
		name = h.String()
	}
	if err := s.checkContainer(name, m); err != nil {
		return Image{}, err
	}
	cf, err := s.readConfig(name, m)
	if err != nil {
		return Image{}, err
	}
	img := Image{Digest: h.String(), Ref: ref, Config: configOf(cf), Size: m.Config.Size}
	for i, d := range m.Layers {
		img.Layers = append(img.Layers, Layer{d.Digest.String(), cf.RootFS.DiffIDs[i].String(), d.Size})
		img.Size += d.Size
	}
	return img, nil
}

// readConfig returns an image's configuration, checked against its manifest and
// the store's platform.
func (s *Store) readConfig(ref string, m *manifest) (*v1.ConfigFile, error) {
	b, err := s.readBlob(m.Config.Digest)
	if err != nil {
		return nil, err
	}
	var cf v1.ConfigFile
	if err := strictjson.Unmarshal(b, &cf); err != nil {
		return nil, slipway.Errorf(slipway.InvalidRequest, "The image %q has an unreadable configuration: %v.", ref, err)
	}
	if err := checkPlatform(ref, &cf, s.platform); err != nil {
		return nil, err
	}
	if len(cf.RootFS.DiffIDs) != len(m.Layers) {
		return nil, slipway.Errorf(slipway.InvalidRequest, "The image %q has %d layers, but its configuration lists %d.", ref, len(m.Layers), len(cf.RootFS.DiffIDs))
	}
	for _, d := range cf.RootFS.DiffIDs {
		if d.Algorithm != "sha256" {
			return nil, slipway.Errorf(slipway.InvalidRequest, "The image %q has a layer with the diff id %s; it must be sha256.", ref, d)
		}
	}
	return &cf, nil
}

func configOf(cf *v1.ConfigFile) RunConfig {
	c := RunConfig{
		Entrypoint: cf.Config.Entrypoint,
		Cmd:        cf.Config.Cmd,
		Env:        cf.Config.Env,
		Dir:        cf.Config.WorkingDir,
		User:       cf.Config.User,
		StopSignal: cf.Config.StopSignal,
		Labels:     cf.Config.Labels,
	}
	// ENTRYPOINT [""] in a Dockerfile takes a base image's entry point away.
	if len(c.Entrypoint) == 1 && c.Entrypoint[0] == "" {
		c.Entrypoint = nil
	}
	for v := range cf.Config.Volumes {
		c.Volumes = append(c.Volumes, v)
	}
	slices.Sort(c.Volumes)
	for p := range cf.Config.ExposedPorts {
		c.Ports = append(c.Ports, p)
	}
	slices.Sort(c.Ports)
	return c
}

// List returns the named images: runnable tags of the local registry, as
// "repository:tag", and images pulled under other references.
func (s *Store) List() ([]Image, error) {
	images, err := s.tagged()
	if err != nil {
		return nil, err
	}
	names, err := readDir(s.path("images"))
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		h := v1.Hash{Algorithm: "sha256", Hex: n}
		r, err := s.readRecord(h)
		if err != nil {
			s.name("record "+n, err)
			continue
		}
		if r.Ref == "" || r.Local {
			continue
		}
		img, err := s.describe(h, r.Ref)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			s.name("image "+h.String(), err)
			continue
		}
		images = append(images, img)
	}
	return images, nil
}

// tagged returns the images that the local registry's tags point to.
func (s *Store) tagged() ([]Image, error) {
	repos, err := s.Repositories()
	if err != nil {
		return nil, err
	}
	var images []Image
	for _, repo := range repos {
		tags, err := s.Tags(repo)
		if err != nil && !errors.Is(err, ErrNotFound) {
			s.name("repository "+repo, err)
			continue
		}
		for _, tag := range tags {
			img, err := s.localImage(repo, tag)
			if errors.Is(err, ErrNotFound) || slipway.CodeOf(err) != "" {
				continue // deleted meanwhile, an artifact, or for other platforms
			}
			if err != nil {
				s.name("tag "+repo+":"+tag, err)
				continue
			}
			images = append(images, img)
		}
	}
	return images, nil
}

func (s *Store) localImage(repo, tag string) (Image, error) {
	ref := repo + ":" + tag
	d, err := s.lookUp(repo, tag)
	if err != nil {
		return Image{}, err
	}
	h, err := s.descend(ref, d.Digest)
	if err != nil {
		return Image{}, err
	}
	return s.describe(h, ref)
}

// descend returns h, or the image for the store's platform if h is an index.
func (s *Store) descend(ref string, h v1.Hash) (v1.Hash, error) {
	for range maxNesting {
		m, err := s.readManifest(h)
		if err != nil || !m.MediaType.IsIndex() {
			return h, err
		}
		d, err := pick(ref, m, s.platform)
		if err != nil {
			return h, err
		}
		h = d.Digest
	}
	return h, slipway.Errorf(slipway.InvalidRequest, "The image %q is an index in more than %d others.", ref, maxNesting)
}

// maxNesting bounds indexes in indexes.
const maxNesting = 4

// record is what the store remembers about an image. Its file's modification
// time is the image's last use.
type record struct {
	Ref   string `json:"ref,omitempty"`
	Local bool   `json:"local,omitempty"` // Ref is one of the local registry's
	// Index is the digest of the index that the image's registry served it
	// from, if any. A later pull compares it.
	Index string `json:"index,omitempty"`
}

func (s *Store) recordPath(h v1.Hash) string { return s.path("images/" + h.Hex) }

// readRecord returns an image's record, the zero record if it has none.
func (s *Store) readRecord(h v1.Hash) (record, error) {
	var r record
	b, err := readFile(s.recordPath(h))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		return r, fmt.Errorf("read record of image %s: %w", h, err)
	}
	return r, nil
}

// remember records an image and marks it as used now.
func (s *Store) remember(h v1.Hash, r record) error {
	if old, err := s.readRecord(h); err == nil && old == r {
		if ok, err := touch(s.recordPath(h)); ok || err != nil {
			return err
		}
	}
	return s.writeJSON(s.recordPath(h), r)
}
