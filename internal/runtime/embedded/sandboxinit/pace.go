package sandboxinit

import "golang.org/x/sys/unix"

// The rate at which a shim copies output. It is twice that at which logs are kept, and more
// than CloudWatch Logs takes of a stream. 64 MiB are copied at once, so that what an
// application writes for a while never waits. An application that does nothing but write
// waits for its pipe, instead of taking a processor for itself and another for its shim.
const (
	paceRate  = 8 << 20 // bytes a second
	paceBurst = 8e9     // ns of the rate that are copied at once
	paceRead  = 1 << 10 // bytes that one read counts, beside its data
	pacePause = 10e6    // ns that the shim waits at most before it looks for an exit
)

// pace counts what was copied.
type pace struct {
	until int64 // up to which the rate is used, ns of the monotonic clock
}

// spend counts a read of n bytes, and returns how long to wait until the next, in ns.
func (p *pace) spend(n int, now int64) int64 {
	p.until = max(p.until, now) + int64(n+paceRead)*1e9/paceRate
	return min(max(p.until-now-paceBurst, 0), pacePause)
}

// monotonic returns the monotonic clock in ns: a step of the wall clock must neither hold
// output back nor let all of it through.
func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // can't fail with this clock
	return t.Nano()
}

// pause waits.
func pause(ns int64) {
	if ns > 0 {
		t := unix.NsecToTimespec(ns)
		_ = unix.Nanosleep(&t, nil) // a signal ends it early, which does no harm
	}
}
