package daemon

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/clock"
	"github.com/openslipway/slipway/internal/ecr"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/logs"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
)

// A failure to remove the logs of one service does not keep those of another.
func TestRetentionGoesOn(t *testing.T) {
	t.Parallel()
	var removed []string
	var pruned time.Time
	asked := false // for the images of runtimes, which are kept
	r := retention{
		log:      slog.New(slog.DiscardHandler),
		builds:   func(id string) error { removed = append(removed, id); return nil },
		prune:    func(t time.Time) (int64, error) { pruned = t; return 0, nil },
		uploads:  func(context.Context) (int64, error) { return 0, nil },
		runtimes: func() ([]string, error) { asked = true; return nil, nil },
		running:  func(context.Context) ([]string, error) { return nil, nil },
	}
	var err error
	r.store = storetest.Memory(t)
	defer r.store.Close()
	if r.images, err = image.Open(image.Config{Dir: t.TempDir(), Log: r.log}); err != nil {
		t.Fatal(err)
	}
	defer r.images.Close()
	if r.logs, err = logs.New(logs.Config{Dir: t.TempDir(), Log: r.log}); err != nil {
		t.Fatal(err)
	}
	cfg := Default()
	if r.ecr, err = ecr.New(ecr.Config{
		Store: r.store, Images: r.images, Tokens: &ecr.Tokens{}, Region: cfg.Region, Account: cfg.Account, Endpoint: "http://127.0.0.1",
	}); err != nil {
		t.Fatal(err)
	}
	const bad = ".." // not a valid name of a directory of logs
	good := slipway.NewID()
	if _, err := r.logs.Append(t.Context(), logs.Stream{Service: good, Name: "instance/a"}, []logs.Line{{At: time.Now(), Kind: logs.Stdout, Text: "x"}}); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-2 * keepDeleted)
	if err := r.store.Update(t.Context(), func(tx *store.Tx) error {
		var errs []error
		for _, id := range []string{bad, good} {
			errs = append(errs,
				tx.InsertService(slipway.Service{ID: id, Name: id, ARN: id, Label: id, Wanted: slipway.WantedDeleted, CreatedAt: long, UpdatedAt: long}),
				tx.SetStatus(id, slipway.StatusDeleted, long))
		}
		return errors.Join(errs...)
	}); err != nil {
		t.Fatal(err)
	}
	if err := r.remove(t.Context(), time.Now()); err == nil || !strings.Contains(err.Error(), bad) {
		t.Errorf("%v, want an error about %s", err, bad)
	}
	if !slices.Contains(removed, good) {
		t.Errorf("removed are the builds of %v, want those of %s, too", removed, good)
	}
	if age := time.Since(pruned); age < keepCaches || age > keepCaches+time.Minute || !asked {
		t.Errorf("caches are pruned that were not used for %s; asked for runtimes: %t", age, asked)
	}
	if left, err := r.logs.Streams(good); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// Nothing is removed by age before the clock has been trusted, whatever it says.
func TestRetentionWaitsForTheClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		off := time.Duration(0)
		r := retention{
			log:   slog.New(slog.DiscardHandler),
			clock: clock.New(func() time.Time { return time.Now().Round(0).Add(off) }),
			store: storetest.Memory(t),
		}
		defer r.store.Close()
		look := func(want bool) {
			t.Helper()
			now, trusted, err := r.look(t.Context())
			if err != nil || trusted != want {
				t.Errorf("the clock is trusted: %v (%v), want %v", trusted, err, want)
			}
			if trusted {
				if err := r.store.Update(t.Context(), func(tx *store.Tx) error { return tx.SetTrustedTime(now) }); err != nil {
					t.Fatal(err)
				}
			}
		}
		look(false)
		time.Sleep(retainEvery)
		look(true)
		off += 73 * 365 * 24 * time.Hour
		for range 6 * 12 {
			time.Sleep(retainEvery)
			look(false)
		}
		off = 0
		time.Sleep(retainEvery)
		look(false)
		time.Sleep(retainEvery)
		look(true)
	})
}
