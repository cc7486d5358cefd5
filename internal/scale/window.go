package scale

import "time"

// window holds the average concurrency of each interval in the stable time. The
// averages are exact however irregular the observations are, because they are
// differences of the integral of concurrency over time, in request-seconds.
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

// observe adds the interval since the last call and drops those older than
// stable.
func (w *window) observe(now time.Time, integral float64, stable time.Duration) {
	if w.began.IsZero() || integral < w.integral { // first call, or the router restarted
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

// idled notes that there was no demand from the last call of observe until a time.
func (w *window) idled(until time.Time) {
	if !w.began.IsZero() && until.After(w.at) {
		w.at = until
	}
}

// peak returns the highest average in the window.
func (w *window) peak() float64 {
	var p float64
	for _, s := range w.samples {
		p = max(p, s.average)
	}
	return p
}

// full reports whether the service has been observed for the whole stable time.
func (w *window) full(now time.Time, stable time.Duration) bool {
	return !w.began.IsZero() && now.Sub(w.began) >= stable
}
