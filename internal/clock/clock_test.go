package clock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway/internal/clock"
)

// fixture is a judge that is asked every ten minutes, and the store of its last trusted time.
type fixture struct {
	off  time.Duration
	last time.Time
	*clock.Judge
}

func (f *fixture) now() time.Time { return time.Now().Round(0).Add(f.off) }

// trustedAfter looks every ten minutes until the clock is trusted, and returns how long that
// took; 0 if it is never within three days.
func (f *fixture) trustedAfter() time.Duration {
	began := time.Now()
	for time.Since(began) < 72*time.Hour {
		time.Sleep(10 * time.Minute)
		if at, ok, _ := f.Look(f.last); ok {
			f.last = at
			return time.Since(began)
		}
	}
	return 0
}

func TestTrust(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for _, c := range []struct {
		name string
		do   func(f *fixture)
		want time.Duration
	}{
		{"the first server of all", func(f *fixture) {}, 10 * time.Minute},
		{"a restart", func(f *fixture) { f.last = f.now().Add(-time.Hour) }, 10 * time.Minute},
		{"a step of an hour", func(f *fixture) { f.trustedAfter(); f.off += time.Hour }, 20 * time.Minute},
		{"a step back of a second", func(f *fixture) { f.trustedAfter(); f.off -= time.Second }, 10 * time.Minute},
		{"a step back of an hour", func(f *fixture) { f.trustedAfter(); f.off -= time.Hour }, time.Hour},
		{"a boot in 1970", func(f *fixture) { f.last = f.now(); f.off = -56 * year }, 24*time.Hour + 10*time.Minute},
		{"a boot in 2099", func(f *fixture) { f.last = f.now(); f.off = 73 * year }, 24*time.Hour + 10*time.Minute},
		{"a boot in 2099, set right", func(f *fixture) {
			f.last, f.off = f.now(), 73*year
			time.Sleep(time.Hour)
			f.Look(f.last)
			f.off = 0
		}, 20 * time.Minute},
		{"long off", func(f *fixture) { f.last = f.now().Add(-30 * 24 * time.Hour) }, 24 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fixture{}
				f.Judge = clock.New(f.now)
				if f.Trusted() {
					t.Error("a clock is trusted at the start")
				}
				c.do(f)
				if got := f.trustedAfter(); got != c.want {
					t.Errorf("trusted after %v, want %v", got, c.want)
				}
				if !f.Trusted() {
					t.Error("what a look trusts is not trusted after it")
				}
				if f.off += 2 * time.Minute; f.Trusted() {
					t.Error("a clock that has just stepped is trusted")
				}
			})
		})
	}
}
