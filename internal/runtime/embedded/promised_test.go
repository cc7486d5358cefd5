package embedded_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/room/roomtest"
	"github.com/openslipway/slipway/internal/runtime"
)

// TestPromises starts instances with disks of 64 MiB each on a disk of 128 MiB that may be
// promised twice, until one is refused. What runs goes on, also over a restart of the driver.
func TestPromises(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.Dir = filepath.Join(roomtest.Disk(t, "size=128m,mode=755"), "state")
	cfg.Pool, cfg.Disk, cfg.Overcommit = -1, 64<<20, 2
	d, drop := openUntil(t, cfg)
	s := &fixture{t, d}
	start := func(service, release string) (string, error) {
		want := probe("print hello", "signals")
		want.Service, want.Release = service, release
		return want.ID, s.driver.Ensure(t.Context(), want)
	}
	var ids []string
	var refusal error
	for len(ids) < 10 {
		id, err := start("shop", "r1")
		if err != nil {
			refusal = err
			break
		}
		ids = append(ids, id)
	}
	if len(ids) < 3 || len(ids) > 4 || slipway.CodeOf(refusal) != slipway.InvalidRequest {
		t.Fatalf("%d instances run, then: %v", len(ids), refusal)
	}
	for _, part := range []string{"64 MiB", "other instances and builds may still write", "--disk-overcommit"} {
		if !strings.Contains(refusal.Error(), part) {
			t.Errorf("%q does not say %q", refusal, part)
		}
	}
	room, err := d.Room(t.Context())
	if err != nil || !room.Refused || room.Promised < int64(len(ids))*50<<20 || room.Promised > int64(len(ids))*64<<20 {
		t.Errorf("the room is %+v, %v", room, err)
	}

	if err := s.driver.Freeze(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	refused := func(when string) {
		t.Helper()
		if id, err := start("cart", "r9"); err == nil {
			t.Errorf("%s an instance of another service is started", when)
			s.remove(id)
		}
		if _, err := s.driver.RunJob(t.Context(), job("print built"), func(runtime.Chunk) {}); slipway.CodeOf(err) != slipway.InvalidRequest {
			t.Errorf("%s a job has the error %v", when, err)
		}
	}
	refused("while one is frozen")
	drop()
	d, drop = openUntil(t, cfg)
	s.driver = d
	refused("after a restart")

	// A rolling update of all instances, each beside its predecessor.
	for i, id := range ids {
		if ids[i], err = start("shop", "r2"); err != nil {
			t.Fatalf("instance %d of the next release: %v", i, err)
		}
		s.remove(id)
	}
	refused("after an update")
	s.remove(ids[0])
	if id, err := start("cart", "r9"); err != nil {
		t.Errorf("there is room again: %v", err)
	} else {
		s.remove(id)
	}
	if _, err := s.driver.RunJob(t.Context(), job("print built"), func(runtime.Chunk) {}); err != nil {
		t.Errorf("there is room again, for a job: %v", err)
	}
	s.clear()
	drop()
	nothingLeft(t, cfg.Dir)
}
