package build

import (
	"context"
	"time"

	"github.com/openslipway/slipway"
)

const (
	// watchInterval is how often the free space is looked at.
	watchInterval = 100 * time.Millisecond
	// measureEvery is how often the caches are measured although the free space has
	// hardly changed. What takes longer is done less often.
	measureEvery = 5 * time.Second
	// stopAt times Config.CacheBytes is the size of caches at which a build is stopped.
	stopAt = 2
)

// watch stops a stage that takes disk space which it has no right to: its caches do not
// count as the sandbox's disk, and what the sandbox may take can be more than the host
// has. It measures the caches when the free space has shrunk, and now and then.
func (r *run) watch(ctx context.Context, stop context.CancelCauseFunc) {
	start, _, err := r.b.cfg.Room()
	if err != nil {
		r.b.log.Warn("cannot watch the disk space of builds", "err", err)
		return
	}
	m := measure{every: measureEvery, at: time.Now(), room: start}
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		room, files, err := r.b.cfg.Room()
		switch {
		case err != nil:
		case room <= 0 || files <= 0:
			stop(errNoRoom())
			return
		case r.hasCaches() && m.due(room, r.b.cfg.CacheBytes):
			began := time.Now()
			if err := r.checkCaches(); err != nil {
				stop(err)
				return
			}
			m = measure{every: max(measureEvery, 20*time.Since(began)), at: time.Now(), room: room}
		}
	}
}

// hasCaches reports whether the build may write to the service's caches: those of its
// runtime, or the cache mounts of its Dockerfile.
func (r *run) hasCaches() bool { return r.r.Dockerfile != "" || len(r.runtime.Caches) > 0 }

// measure decides when to measure caches, which means to walk them.
type measure struct {
	every time.Duration
	at    time.Time // of the last measurement, or of the beginning
	room  int64     // then
}

func (m measure) due(room, most int64) bool {
	return m.room-room >= most/4 || time.Since(m.at) >= m.every
}

// checkCaches returns an error if the service's caches have grown far above their size.
func (r *run) checkCaches() error {
	most := r.b.cfg.CacheBytes
	n, err := r.b.cache.Size(r.r.Service)
	if err != nil || n <= stopAt*most {
		return nil
	}
	return slipway.Errorf(slipway.InvalidRequest,
		"The build was stopped: its dependency caches have grown to more than %s, and the server keeps %s of a service's. "+
			"They will be emptied. Download less, or raise the limit %s.", bytesText(stopAt*most), bytesText(most), raise(r.b.cfg.Advice, LimitCache))
}

// errNoRoom is a mistake of nobody's in particular, but a build that is tried again
// would only fill the disk again.
func errNoRoom() error {
	return slipway.Errorf(slipway.InvalidRequest,
		"The build was stopped: the server's disk is almost full. Remove what builds have left by `slipway build prune`, or make room otherwise, and deploy again.")
}
