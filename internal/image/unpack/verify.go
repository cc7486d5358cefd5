package unpack

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/decompress"
)

// Verify reads the layer that r yields to its end, as Layer does, and verifies both
// digests without unpacking it. What it reads counts for the image's budget. An invalid
// layer is an *slipway.Error, a damaged one wraps ErrCorrupt.
func Verify(ctx context.Context, r io.Reader, want Digests, budget *Budget) error {
	blob := &meter{r: r, ctx: ctx, sum: sha256.New()}
	plain, err := decompress.NewReader(blob)
	if err != nil {
		return unreadable(err, blob, 0, want)
	}
	defer plain.Close()
	diff := &meter{r: plain, ctx: ctx, sum: sha256.New(), spend: func(n int64) error { return budget.Spend(Cost{Read: n}) }}
	for _, m := range []*meter{diff, blob} {
		if _, err := io.CopyBuffer(io.Discard, onlyReader{m}, make([]byte, 256<<10)); err != nil {
			return unreadable(err, blob, diff.n, want)
		}
	}
	return matches(blob, diff, want)
}

// matches returns why the bytes that were read are not the layer that was wanted.
func matches(blob, diff *meter, want Digests) error {
	if got := blob.digest(); got != want.Blob {
		return fmt.Errorf("%w: is %s, want %s", ErrCorrupt, got, want.Blob)
	}
	if got := diff.digest(); got != want.Diff {
		return slipway.Errorf(slipway.InvalidRequest,
			"Layer %s of the image unpacks to %s, but the image's configuration says %s.", want.Blob, got, want.Diff)
	}
	return nil
}
