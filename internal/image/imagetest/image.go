package imagetest

import (
	"runtime"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Options are an image's configuration. The zero value is an image without an
// entrypoint for this machine's platform.
type Options struct {
	Entrypoint []string
	Cmd        []string
	Env        []string // "NAME=value"
	User       string
	Dir        string   // working directory
	Ports      []string // "8080/tcp"
	StopSignal string
	Volumes    []string
	Labels     map[string]string
	OnBuild    []string // triggers for Dockerfiles that begin with the image

	Platform string // "linux/<this machine's architecture>" when empty

	// Files go into a layer of their own, above the layers of Image and below
	// the program of Build.
	Files []File
}

// Image returns an OCI image with the given layers, lowest first. The same
// input gives the same digest.
func Image(tb testing.TB, o Options, layers ...v1.Layer) v1.Image {
	tb.Helper()
	if len(o.Files) > 0 {
		layers = append(layers, Layer(tb, o.Files...))
	}
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	img, err := mutate.AppendLayers(img, layers...)
	check(tb, err)
	cf, err := img.ConfigFile()
	check(tb, err)
	cf = cf.DeepCopy()
	platform(tb, cf, o.Platform)
	cf.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	cf.Config = v1.Config{
		Entrypoint: o.Entrypoint,
		Cmd:        o.Cmd,
		Env:        o.Env,
		User:       o.User,
		WorkingDir: o.Dir,
		StopSignal: o.StopSignal,
		Labels:     o.Labels,
		OnBuild:    o.OnBuild,
	}
	for _, v := range o.Volumes {
		if cf.Config.Volumes == nil {
			cf.Config.Volumes = map[string]struct{}{}
		}
		cf.Config.Volumes[v] = struct{}{}
	}
	for _, p := range o.Ports {
		if cf.Config.ExposedPorts == nil {
			cf.Config.ExposedPorts = map[string]struct{}{}
		}
		cf.Config.ExposedPorts[p] = struct{}{}
	}
	img, err = mutate.ConfigFile(img, cf)
	check(tb, err)
	return img
}

// Index returns an OCI image index of the images, each under the platform of
// its own configuration.
func Index(tb testing.TB, images ...v1.Image) v1.ImageIndex {
	tb.Helper()
	idx := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, img := range images {
		cf, err := img.ConfigFile()
		check(tb, err)
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{
			Add:        img,
			Descriptor: v1.Descriptor{Platform: cf.Platform()},
		})
	}
	return idx
}

// Digest returns the image's manifest digest, "sha256:...".
func Digest(tb testing.TB, img interface{ Digest() (v1.Hash, error) }) string {
	tb.Helper()
	h, err := img.Digest()
	check(tb, err)
	return h.String()
}

func platform(tb testing.TB, cf *v1.ConfigFile, s string) {
	tb.Helper()
	if s == "" {
		s = "linux/" + runtime.GOARCH
	}
	p, err := v1.ParsePlatform(s)
	check(tb, err)
	cf.OS, cf.Architecture, cf.Variant = p.OS, p.Architecture, p.Variant
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatalf("imagetest: %v", err)
	}
}
