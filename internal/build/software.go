package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/openslipway/slipway/internal/build/sbom"
	"github.com/openslipway/slipway/internal/image"
)

// software returns the list of what is in the image (an SBOM): what the base has and
// what lies over it. An image without a list is better than none, so only the end of
// ctx is an error.
func (r *run) software(ctx context.Context, from string, layers []image.NewLayer) ([]byte, error) {
	var dirs []string
	sum := sha256.New()
	sum.Write([]byte(from))
	for _, l := range slices.Backward(layers) {
		dirs = append(dirs, l.Dir)
		sum.Write([]byte(l.DiffID))
	}
	own, err := sbom.Scan(ctx, dirs, false)
	if err != nil {
		return nil, r.withoutList(ctx, err)
	}
	base, err := r.b.baseSoftware(ctx, from)
	if err != nil {
		return nil, r.withoutList(ctx, err)
	}
	all := sbom.Join(own, base)
	document, err := sbom.Document(sbom.Subject{
		Name: r.r.Service, Version: r.r.Commit, Time: r.r.Time, Tool: r.b.cfg.Version, Partial: all.Partial,
		Serial: hex.EncodeToString(sum.Sum(nil)[:16]),
	}, all.Components)
	if err != nil {
		return nil, r.withoutList(ctx, err)
	}
	return document, nil
}

func (r *run) withoutList(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	r.b.log.Warn("cannot list the software in an image", "service", r.r.Service, "err", err)
	return nil
}

// baseSoftware returns what is in a runtime's image, or in a base image; nothing if there
// is none. It is found once for each.
func (b *Builder) baseSoftware(ctx context.Context, digest string) (sbom.Result, error) {
	if digest == "" {
		return sbom.Result{}, nil
	}
	b.mu.Lock()
	known, ok := b.bases[digest]
	b.mu.Unlock()
	if ok {
		return known, nil
	}
	dirs, err := b.cfg.Images.Layers(ctx, digest)
	if err != nil {
		return sbom.Result{}, err
	}
	found, err := sbom.Scan(ctx, dirs, true)
	if err != nil {
		return found, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bases[digest] = found
	return found, nil
}
