package image_test

import (
	"fmt"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/image"
	. "github.com/openslipway/slipway/internal/image/imagetest"
)

// The layers of an image cost together, also those that another image has unpacked.
func TestAnImageCostsAllItsLayers(t *testing.T) {
	t.Parallel()
	needRoot(t)
	s := open(t, func(c *image.Config) { c.Limits.Entries = 10 })
	files := func(name string) v1.Layer {
		var list []File
		for i := range 6 {
			list = append(list, Text(fmt.Sprint(name, i), name))
		}
		return Layer(t, list...)
	}
	a, b := files("a"), files("b")
	layers(t, s, put(t, s, "a:1", Image(t, Options{}, a)).Digest)
	layers(t, s, put(t, s, "b:1", Image(t, Options{}, b)).Digest)
	_, err := s.Layers(t.Context(), put(t, s, "both:1", Image(t, Options{}, a, b)).Digest)
	wantUser(t, err, slipway.InvalidRequest, "more than the 10 entries")
}

// A layer of some kilobytes that copies a file of the layer below, again and again.
func TestCopiesOfALowerFile(t *testing.T) {
	t.Parallel()
	needRoot(t)
	s := open(t, func(c *image.Config) { c.Limits.Unpacked = 20 << 20 })
	stack := []v1.Layer{Layer(t, Text("big", strings.Repeat("x", 1<<20)))}
	for i := range 30 {
		stack = append(stack, Layer(t, Hardlink(fmt.Sprint("copy", i), "big")))
	}
	_, err := s.Layers(t.Context(), put(t, s, "copies:1", Image(t, Options{}, stack...)).Digest)
	wantUser(t, err, slipway.InvalidRequest, "larger than the 20971520 bytes")
}
