package scale

import "time"

// window keeps the average concurrency of each interval of the last stable
// time. The integral of concurrency over time, in request-seconds, makes the
// average exact whenever it is asked.
type window struct {
	samples  []sample // oldest first
	began    time.Time
	at       time.Time // of the last integral
	integral float64
}

type sample struct {
	at      time.Time
	average float64
}

// observe adds the interval since the last call and drops what is older than
// stable.
func (w *window) observe(now time.Time, integral float64, stable time.Duration) {
	if w.began.IsZero() || integral < w.integral { // new, or counted anew by a restarted router
		*w = window{began: now, at: now, integral: integral}
		return
	}
	d := now.Sub(w.at).Seconds()
	if d <= 0 {
		return
	}
	w.samples = append(w.samples, sample{now, (integral - w.integral) / d})
	w.at, w.integral = now, integral
	old := 0
	for old < len(w.samples) && now.Sub(w.samples[old].at) > stable {
		old++
	}
	w.samples = append(w.samples[:0], w.samples[old:]...)
}

// peak is the highest average in the window.
func (w *window) peak() float64 {
	var p float64
	for _, s := range w.samples {
		p = max(p, s.average)
	}
	return p
}

// whole reports whether the service has been observed for the stable time.
func (w *window) whole(now time.Time, stable time.Duration) bool {
	return !w.began.IsZero() && now.Sub(w.began) >= stable
}
