package source

import (
	"context"

	"github.com/openslipway/slipway/internal/image"
)

// WithPermit returns a context with which a Resolver and builds read an image of this
// server's own registry only if permit returns nil for its repository. Its error is
// theirs.
func WithPermit(ctx context.Context, permit func(repository string) error) context.Context {
	return image.WithPermit(ctx, permit)
}
