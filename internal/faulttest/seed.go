package faulttest

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

// Tries returns how many faults of those that can be had a test tries: few, times
// SLIPWAY_TEST_FAULTS if that is set.
func Tries(t testing.TB, few int) int {
	t.Helper()
	text := os.Getenv("SLIPWAY_TEST_FAULTS")
	if text == "" {
		return max(few/share, 1)
	}
	times, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return few * times
}
