package source

import (
	"errors"
	"fmt"
	"testing"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/image"
)

// The deployment gives up at the user's mistakes and tries again at the rest.
func TestWordedTellsMistakesFromBadDays(t *testing.T) {
	t.Parallel()
	mistake := slipway.Errorf(slipway.InvalidRequest, "No such image.")
	for _, c := range []struct {
		name string
		err  error
		code slipway.Code
		text string
	}{
		{"mistake", mistake, slipway.InvalidRequest, "No such image."},
		{"unavailable", fmt.Errorf("%w: %w", image.ErrUnavailable, mistake), "", "registry unavailable: No such image."},
		{"ours", errors.New("disk on fire"), "", "pull x: disk on fire"},
	} {
		got := worded("pull x", c.err)
		if slipway.CodeOf(got) != c.code || got.Error() != c.text {
			t.Errorf("%s: %q with code %q, want %q with %q", c.name, got, slipway.CodeOf(got), c.text, c.code)
		}
	}
}
