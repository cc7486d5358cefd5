package logs

import (
	"context"
	"time"
)

// Sweep does what Run does when its timer fires at now.
func (s *Store) Sweep(ctx context.Context, now time.Time) {
	s.retire(now)
	s.sweepAll(ctx, now)
}
