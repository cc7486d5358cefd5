package harness

import (
	"testing"

	"github.com/openslipway/slipway/internal/faulttest"
)

// Seed returns the seed of a test's random numbers and logs it. SLIPWAY_E2E_SEED repeats
// one.
func Seed(t testing.TB) uint64 {
	t.Helper()
	return faulttest.Seed(t)
}
