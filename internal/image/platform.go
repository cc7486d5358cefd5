package image

import (
	"cmp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openslipway/slipway"
)

// pick returns the manifest of an index to run on platform p. Among variants it
// takes p's own, otherwise the one that requires least of the processor.
func pick(ref string, index *manifest, p v1.Platform) (v1.Descriptor, error) {
	for _, can := range runnable(p) {
		var fit []v1.Descriptor
		for _, d := range index.Manifests {
			if d.Platform != nil && sameMachine(*d.Platform, can) {
				fit = append(fit, d)
			}
		}
		if len(fit) > 0 {
			return slices.MinFunc(fit, func(a, b v1.Descriptor) int {
				return strings.Compare(rank(a.Platform, can), rank(b.Platform, can))
			}), nil
		}
	}
	if bare := unlabelled(index); len(bare) == 1 {
		return bare[0], nil // its configuration names the platform
	}
	return v1.Descriptor{}, slipway.Errorf(slipway.InvalidRequest, "The image %q is not available for %s: it has %s.", ref, p.String(), offered(index))
}

// runnable returns the platforms whose programs run on p, best first: p itself and its
// 32-bit one, as in containerd.
func runnable(p v1.Platform) []v1.Platform {
	list := []v1.Platform{p}
	switch p.Architecture {
	case "amd64":
		list = append(list, v1.Platform{OS: p.OS, Architecture: "386"})
	case "arm64":
		list = append(list, v1.Platform{OS: p.OS, Architecture: "arm", Variant: "v7"})
	}
	return list
}

// sameMachine reports whether two platforms are the same but for their variants. What
// tools leave out or name otherwise is read as containerd does.
func sameMachine(a, b v1.Platform) bool {
	return normalOS(a.OS) == normalOS(b.OS) && normalArchitecture(a.Architecture) == normalArchitecture(b.Architecture)
}

func normalOS(s string) string { return strings.ToLower(s) }

func normalArchitecture(s string) string {
	switch s = strings.ToLower(s); s {
	case "x86_64", "x86-64":
		return "amd64"
	case "i386", "i686":
		return "386"
	case "aarch64":
		return "arm64"
	case "armhf", "armel":
		return "arm"
	}
	return s
}

// unlabelled returns the manifests of an index that name no platform.
func unlabelled(index *manifest) []v1.Descriptor {
	var ds []v1.Descriptor
	for _, d := range index.Manifests {
		if d.Platform == nil && (d.MediaType.IsImage() || d.MediaType.IsIndex()) {
			ds = append(ds, d)
		}
	}
	return ds
}

// rank orders variants: the wanted one, none, then "v1" before "v2".
func rank(have *v1.Platform, want v1.Platform) string {
	switch have.Variant {
	case want.Variant:
		return "0"
	case "":
		return "1"
	}
	return "2" + have.Variant
}

// offered lists an index's platforms for an error message.
func offered(index *manifest) string {
	var names []string
	for _, d := range index.Manifests {
		// Attestations are listed as unknown/unknown.
		if d.Platform == nil || d.Platform.OS == "unknown" {
			continue
		}
		n := d.Platform.OS + "/" + d.Platform.Architecture
		if d.Platform.Variant != "" {
			n += "/" + d.Platform.Variant
		}
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		return "no platform at all"
	}
	return strings.Join(names, ", ")
}

// checkPlatform refuses an image made for another platform. An image that names
// none is taken for p, as other runtimes do.
func checkPlatform(ref string, cf *v1.ConfigFile, p v1.Platform) error {
	for _, can := range runnable(p) {
		have := v1.Platform{OS: cmp.Or(cf.OS, can.OS), Architecture: cmp.Or(cf.Architecture, can.Architecture)}
		if sameMachine(have, can) {
			return nil
		}
	}
	return slipway.Errorf(slipway.InvalidRequest, "The image %q is not available for %s: it is for %s/%s.", ref, p.String(), cf.OS, cf.Architecture)
}
