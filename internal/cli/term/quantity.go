package term

import (
	"fmt"
	"time"
)

// Ago returns how long before now t was, in one unit: "just now", "45 seconds ago",
// "3 days ago". A time after now is "just now", since clocks differ; the zero time
// is "-".
func Ago(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	if now.Sub(t) < time.Second {
		return "just now"
	}
	return Age(now, t) + " ago"
}

// Age returns how long before now t was, in one unit: "0 seconds", "3 days". A time after
// now is as now, since clocks differ; the zero time is "-".
func Age(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	n, unit := inOneUnit(max(now.Sub(t), 0))
	if n == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}

func inOneUnit(d time.Duration) (int, string) {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return int(d / time.Second), "second"
	case d < time.Hour:
		return int(d / time.Minute), "minute"
	case d < 2*day:
		return int(d / time.Hour), "hour"
	case d < 60*day:
		return int(d / day), "day"
	case d < 730*day:
		return int(d / (30 * day)), "month"
	}
	return int(d / (365 * day)), "year"
}

// Took returns a duration with a precision that suits its size: "12 ms",
// "1.4 s", "2 m 05 s", "1 h 10 m".
func Took(d time.Duration) string {
	switch {
	case d < 0:
		return "0 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d m %02d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d h %02d m", int(d.Hours()), int(d.Minutes())%60)
}

// Bytes returns a size in decimal units, as image tools do: "512 B", "1.2 kB",
// "34 MB".
func Bytes(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v := float64(n)
	for _, unit := range []string{"kB", "MB", "GB"} {
		v /= 1000
		switch {
		case v < 9.95:
			return fmt.Sprintf("%.1f %s", v, unit)
		case v < 999.5:
			return fmt.Sprintf("%.0f %s", v, unit)
		}
	}
	return fmt.Sprintf("%.1f TB", v/1000)
}
