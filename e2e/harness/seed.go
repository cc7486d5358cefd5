package harness

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// Seed returns the seed of a test's random numbers and logs it. SLIPWAY_E2E_SEED repeats
// one.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SLIPWAY_E2E_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SLIPWAY_E2E_SEED=%d", seed)
	return seed
}
