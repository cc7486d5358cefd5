package fleet_test

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/fleet"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
)

// Instances of services that the store has never known are left alone, alive and ended, and
// named once. Those of services and releases that are deleted are removed, and so are all when
// that is asked for.
func TestStrays(t *testing.T) {
	inLab(t, func(l *lab) {
		r := l.release(1, nil)
		l.ready(r, 1)
		deleted := l.release(1, nil)
		l.ready(deleted, 1)
		l.stop()
		l.update(func(tx *store.Tx) error { // as a server that is killed before its fleet has heard of it
			return errors.Join(tx.DeleteInstance(slipway.Instance{ID: l.machine.Running(deleted.ID)[0]}),
				tx.DeleteRelease(deleted), tx.SetStatus(deleted.ServiceID, slipway.StatusDeleted, time.Now()))
		})
		strays := []string{slipway.NewID(), slipway.NewID()}
		lost := slipway.NewID()
		for _, s := range []runtime.Spec{
			{ID: strays[0], Service: slipway.NewID(), Release: slipway.NewID(), Image: image},
			{ID: strays[1], Service: slipway.NewID(), Release: slipway.NewID(), Image: image},
			{ID: lost, Service: r.ServiceID, Release: slipway.NewID(), Image: image},
		} {
			if err := l.fake.Ensure(l.Context(), s); err != nil {
				l.Fatal(err)
			}
		}
		l.machine.Kill(strays[1])
		was := l.machine.Removed()

		for range 2 {
			var log bytes.Buffer
			l.bootWith(fleet.Config{Log: slog.New(slog.NewTextHandler(&log, nil))}, nil)
			l.passes(2 * time.Minute)
			l.stop()
			gone := slices.DeleteFunc(slices.Clone(l.machine.Removed()), func(id string) bool { return slices.Contains(was, id) })
			if len(gone) != 2 || !slices.Contains(gone, lost) || slices.Contains(gone, strays[0]) || slices.Contains(gone, strays[1]) {
				l.Errorf("%v were removed, want %s and that of the deleted service; strays are %v", gone, lost, strays)
			}
			if !slices.Contains(l.machine.Running(""), strays[0]) {
				l.Errorf("the stray does not run any more")
			}
			text := log.String()
			if n := strings.Count(text, "left alone"); n != 1 || !strings.Contains(text, strays[0]) || !strings.Contains(text, strays[1]) {
				l.Errorf("they are named in %d lines:\n%s", n, text)
			}
		}

		l.bootWith(fleet.Config{Log: slog.New(slog.DiscardHandler), RemoveStrays: true}, nil)
		l.until("they are removed when that is asked for", func() bool {
			gone := l.machine.Removed()
			return slices.Contains(gone, strays[0]) && slices.Contains(gone, strays[1])
		})
		if len(l.inState(r, slipway.InstanceReady)) != 1 {
			l.Error("the service has lost its instance")
		}
	})
}

// A store that was set back, or is a new one, ends no instance that it does not know.
func TestStraysOfNewStore(t *testing.T) {
	inLab(t, func(l *lab) {
		r := l.release(2, nil)
		l.ready(r, 2)
		l.stop()
		running := l.machine.Running("")
		other := storetest.Memory(t)
		defer other.Close()
		own := l.store
		l.store = other
		l.boot(nil)
		l.passes(2 * time.Minute)
		l.stop()
		if got := l.machine.Running(""); !slices.Equal(got, running) {
			l.Errorf("%v run, want %v", got, running)
		}
		l.store = own
		l.boot(nil)
		l.ready(r, 2)
		if got := l.machine.Running(""); !slices.Equal(got, running) {
			l.Errorf("with the store put back %v run, want %v", got, running)
		}
	})
}

// TestUnknownInstance: a driver that does not know any more whose instances are, since what it
// had written down is damaged, ends none. Those with a row go on as before, with their
// service's other ones, and the rest are strays.
func TestUnknownInstance(t *testing.T) {
	inLab(t, func(l *lab) {
		r := l.release(2, nil)
		l.ready(r, 2)
		was := l.rows(r)
		stray := slipway.NewID()
		if err := l.fake.Ensure(l.Context(), runtime.Spec{ID: stray, Image: image}); err != nil {
			l.Fatal(err)
		}
		l.stop()
		l.machine.Forget(was[0].ID)
		var log bytes.Buffer
		l.bootWith(fleet.Config{Log: slog.New(slog.NewTextHandler(&log, nil))}, nil)
		l.passes(2 * time.Minute)
		for i, row := range l.rows(r) {
			if row.ID != was[i].ID || row.State != slipway.InstanceReady {
				l.Errorf("row %d is %+v, was %+v", i, row, was[i])
			}
		}
		if running := l.machine.Running(""); len(running) != 3 || !slices.Contains(running, stray) {
			l.Errorf("%v run, want two and the stray %s", running, stray)
		}
		if text := log.String(); strings.Count(text, "left alone") != 1 || !strings.Contains(text, stray) {
			l.Errorf("the log does not name the stray once:\n%s", text)
		}
		l.update(func(tx *store.Tx) error { return tx.SetDesired(r, slipway.DesiredStop) })
		l.until("the release's instances are gone", func() bool { return len(l.rows(r)) == 0 })
		if running := l.machine.Running(""); len(running) != 1 || running[0] != stray {
			l.Errorf("%v run, want the stray %s", running, stray)
		}
	})
}
