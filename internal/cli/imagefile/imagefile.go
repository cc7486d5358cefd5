// Package imagefile opens container images in files: an OCI layout directory, an
// OCI archive (the same in a tar) or the output of `docker save`, the latter two
// also compressed. It derives a name from the file if the image has none. It stores no
// images and uses no server.
//
// Only cmd/slipway and internal/cli/client import it.
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
	"github.com/google/go-containerregistry/pkg/v1/partial"
)

// ErrNotImage means that a path is not a container image. Errors that wrap it say
// why.
var ErrNotImage = errors.New("not a container image")

// Image is an image, or one image for several platforms, that can be read until
// Close. Either Single or Index is set.
type Image struct {
	Single v1.Image
	Index  v1.ImageIndex
	Digest string // of the manifest that a registry will show

	// Name and Tag are the image's name in the file, without a registry, or derived
	// from the path. They are valid as a repository and a tag. Tag may be empty.
	Name, Tag string

	scratch *scratch // nil if nothing was unpacked
}

// Close removes the files that Open has unpacked.
func (i *Image) Close() error {
	if i.scratch == nil {
		return nil
	}
	return i.scratch.remove()
}

// Config returns the image's config; of several platforms, this machine's
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

// Open opens the image at path. The error is fs.ErrNotExist if the path does not
// exist, and ErrNotImage if it is not an image.
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
	img, err := archive.image(path)
	if err != nil {
		return nil, errors.Join(err, archive.remove())
	}
	img.scratch = archive.scratch
	return img, nil
}

// image opens the image in an archive; path is for errors.
func (a *archive) image(path string) (*Image, error) {
	kind, err := a.kind()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	switch kind {
	case savedImage:
		return a.saved(path)
	case layoutArchive:
		dir, err := a.unpackLayout()
		if err != nil {
			return nil, fmt.Errorf("unpack %s: %w", path, err)
		}
		return openLayout(dir, nameFromPath(path))
	}
	return nil, fmt.Errorf("%s is %w: it is a tar without manifest.json or index.json, or cut short", path, ErrNotImage)
}

func (a *archive) saved(path string) (*Image, error) {
	files, err := a.entries()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	list, err := manifestOf(files)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(list) != 1 {
		return nil, fmt.Errorf("%s holds %d images (%s); save only one", path, len(list), tagsOf(list))
	}
	core, err := newSaved(files, list[0])
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	out := &Image{Name: nameFromPath(path)}
	if len(list[0].RepoTags) > 0 {
		out.rename(list[0].RepoTags[0])
	}
	if out.Single, err = partial.CompressedToImage(core); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return out.digested(path)
}

func tagsOf(list []savedManifest) string {
	var tags []string
	for _, m := range list {
		tags = append(tags, m.RepoTags...)
	}
	return strings.Join(tags, ", ")
}

func openLayout(dir, guess string) (*Image, error) {
	if _, err := os.Stat(filepath.Join(dir, "index.json")); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is %w: the directory has no index.json, so it is not an OCI layout", dir, ErrNotImage)
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
		return nil, fmt.Errorf("the OCI layout %s holds %d images (%s); copy only one", dir, len(manifest.Manifests), refsOf(manifest))
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

// digested sets the digest.
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
