// Package imagefile opens container images that lie on the user's disk: an OCI
// layout directory, an OCI archive (the same in a tar) or what `docker save`
// writes, each of the latter also gzipped. It guesses a name for them. It does
// not keep images and knows no server.
//
// Only cmd/slipway and internal/cli/client use it.
package imagefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// ErrNotImage says that what lies at a path is no container image. The errors
// that wrap it say what it is instead.
var ErrNotImage = errors.New("not a container image")

// Image is an image, or one image for several platforms, that can be read until
// Close. Either Single or Index is set.
type Image struct {
	Single v1.Image
	Index  v1.ImageIndex
	Digest string // of the manifest that a registry will show

	// Name and Tag are what the file says its image is called, without a
	// registry, or a guess by the path; both are fit for a repository and a tag.
	// Tag may be "".
	Name, Tag string

	scratch string // directory to remove on Close; "" if none
}

// Close removes what Open has unpacked.
func (i *Image) Close() error {
	if i.scratch == "" {
		return nil
	}
	return os.RemoveAll(i.scratch)
}

// Config returns the image's config; of several, that for this machine's
// architecture.
func (i *Image) Config() (*v1.ConfigFile, error) {
	if i.Single != nil {
		return i.Single.ConfigFile()
	}
	manifest, err := i.Index.IndexManifest()
	if err != nil {
		return nil, err
	}
	for _, m := range manifest.Manifests {
		if m.Platform != nil && m.Platform.OS == "linux" && m.Platform.Architecture == runtime.GOARCH {
			img, err := i.Index.Image(m.Digest)
			if err != nil {
				return nil, err
			}
			return img.ConfigFile()
		}
	}
	return nil, fmt.Errorf("the image has no variant for linux/%s", runtime.GOARCH)
}

// Open opens the image at path. When nothing is there, the error is
// fs.ErrNotExist; when it is no image, ErrNotImage.
func Open(path string) (*Image, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return openLayout(path, nameFromPath(path))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is %w: it is not a regular file", path, ErrNotImage)
	}
	return openArchive(path)
}

func openArchive(path string) (*Image, error) {
	archive, err := newArchive(path)
	if err != nil {
		return nil, err
	}
	kind, err := archive.kind()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	switch kind {
	case savedImage:
		return openSaved(path, archive)
	case layoutArchive:
		return openLayoutArchive(path, archive)
	}
	return nil, fmt.Errorf("%s is %w: it is a tar without manifest.json or index.json, or cut short", path, ErrNotImage)
}

func openSaved(path string, archive *archive) (*Image, error) {
	manifest, err := tarball.LoadManifest(archive.open)
	if err != nil {
		return nil, fmt.Errorf("read %s: manifest.json: %w", path, err)
	}
	if len(manifest) != 1 {
		return nil, fmt.Errorf("%s holds %d images (%s): save one alone", path, len(manifest), tagsOf(manifest))
	}
	img, err := tarball.Image(archive.open, nil)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	out := &Image{Single: img, Name: nameFromPath(path)}
	if len(manifest[0].RepoTags) > 0 {
		out.rename(manifest[0].RepoTags[0])
	}
	return out.digested(path)
}

func tagsOf(manifest tarball.Manifest) string {
	var tags []string
	for _, m := range manifest {
		tags = append(tags, m.RepoTags...)
	}
	return strings.Join(tags, ", ")
}

func openLayoutArchive(path string, archive *archive) (*Image, error) {
	dir, err := os.MkdirTemp("", "slipway-image-")
	if err != nil {
		return nil, err
	}
	img, err := func() (*Image, error) {
		if err := archive.unpackLayout(dir); err != nil {
			return nil, fmt.Errorf("unpack %s: %w", path, err)
		}
		return openLayout(dir, nameFromPath(path))
	}()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	img.scratch = dir
	return img, nil
}

func openLayout(dir, guess string) (*Image, error) {
	if _, err := os.Stat(filepath.Join(dir, "index.json")); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is %w: the directory has no index.json, so it is no OCI layout", dir, ErrNotImage)
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("read the OCI layout %s: %w", dir, err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("read the OCI layout %s: %w", dir, err)
	}
	if len(manifest.Manifests) != 1 {
		return nil, fmt.Errorf("the OCI layout %s holds %d images (%s): copy one alone", dir, len(manifest.Manifests), refsOf(manifest))
	}
	out := &Image{Name: guess}
	only := manifest.Manifests[0]
	for _, key := range []string{"io.containerd.image.name", "org.opencontainers.image.ref.name"} {
		if name := only.Annotations[key]; name != "" {
			out.rename(name)
			break
		}
	}
	if only.MediaType.IsIndex() {
		out.Index, err = index.ImageIndex(only.Digest)
	} else {
		out.Single, err = index.Image(only.Digest)
	}
	if err != nil {
		return nil, fmt.Errorf("read the OCI layout %s: %w", dir, err)
	}
	return out.digested(dir)
}

func refsOf(manifest *v1.IndexManifest) string {
	var refs []string
	for _, m := range manifest.Manifests {
		refs = append(refs, m.Digest.String())
	}
	return strings.Join(refs, ", ")
}

// digested fills in the digest, which reads all layers where they are not
// compressed yet.
func (i *Image) digested(path string) (*Image, error) {
	var digest v1.Hash
	var err error
	if i.Index != nil {
		digest, err = i.Index.Digest()
	} else {
		digest, err = i.Single.Digest()
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	i.Digest = digest.String()
	return i, nil
}
