package hooks

import (
	"testing"
	"time"
)

func FuzzRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Wed, 21 Oct 2026 07:28:00 GMT")
	f.Fuzz(func(t *testing.T, text string) {
		if d := retryAfter(text, time.Unix(1_800_000_000, 0)); d < 0 {
			t.Errorf("%q is %v", text, d)
		}
	})
}
