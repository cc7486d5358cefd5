package store_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
)

// TestDamagedRows damages a row of each kind with JSON or ciphertext. Lists have the others,
// pages are full, each damaged row is told of once, and who asks for it gets an error.
func TestDamagedRows(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	storetest.Create(t, path)
	s, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"aaaa", "bbbb", "cccc", "dddd"}
	start := time.Unix(1_700_000_000, 0)
	if err := s.Update(t.Context(), func(tx *store.Tx) error {
		var errs []error
		for i, n := range names {
			at := start.Add(time.Duration(i) * time.Second)
			errs = append(errs,
				tx.InsertService(slipway.Service{ID: n, Name: n, ARN: n, Label: n, Wanted: slipway.WantedRunning, Status: slipway.StatusRunning, ActiveRelease: "r" + n, CreatedAt: at}),
				tx.InsertRelease(slipway.Release{ID: "r" + n, ServiceID: n, Image: "i", Desired: slipway.DesiredRun, Size: 1, CreatedAt: at}),
				tx.PutInstance(slipway.Instance{ID: "i" + n, ServiceID: n, ReleaseID: "r" + n, State: slipway.InstanceReady, CreatedAt: at}),
				tx.InsertOperation(slipway.Operation{ID: "o" + n, ServiceID: n, Kind: slipway.UpdateService, CreatedAt: at}),
				tx.InsertWebhook(slipway.Webhook{ID: n, URL: n, CreatedAt: at}),
				tx.PutRepository(slipway.Repository{Name: n, CreatedAt: at}),
			)
		}
		return errors.Join(errs...)
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	storetest.Damage(t, path,
		`UPDATE service SET spec = '{"Source' WHERE id = 'bbbb'`,
		`UPDATE release SET settings = '[' WHERE id = 'rcccc'`,
		`UPDATE operation SET input = 'x' WHERE id = 'oaaaa'`,
		`UPDATE instance SET exit = 'x' WHERE id = 'idddd'`,
		`UPDATE webhook SET secret = '***' WHERE id = 'aaaa'`,
		`UPDATE repository SET settings = '' WHERE name = 'aaaa'`,
	)
	if s, err = store.Open(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	told := map[string]int{}
	s.OnDamage(func(row string, err error) { told[row]++ })
	for range 2 {
		if err := s.View(t.Context(), func(tx *store.Tx) error {
			services, err := tx.Services(time.Time{}, "", 2)
			if err != nil || len(services) != 2 || services[0].ID != "aaaa" || services[1].ID != "cccc" {
				t.Errorf("a page of services has %v, %v", services, err)
			}
			routes, err := tx.RoutesSince(0)
			ids := []string{}
			for _, r := range routes {
				ids = append(ids, r.Service.ID)
			}
			slices.Sort(ids)
			if err != nil || !slices.Equal(ids, []string{"aaaa", "dddd"}) {
				t.Errorf("routes are of %v, %v", ids, err)
			}
			hooks, err := tx.Webhooks()
			if err != nil || len(hooks) != 3 {
				t.Errorf("webhooks are %v, %v", hooks, err)
			}
			repositories, err := tx.Repositories()
			if err != nil || len(repositories) != 3 {
				t.Errorf("repositories are %v, %v", repositories, err)
			}
			if _, err := tx.Service("bbbb"); !errors.Is(err, store.ErrDamagedRow) {
				t.Errorf("the damaged service: %v", err)
			}
			if _, err := tx.ReleasesOf("cccc"); !errors.Is(err, store.ErrDamagedRow) {
				t.Errorf("the damaged release: %v", err)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for row, n := range told {
		if n != 1 {
			t.Errorf("%s was told of %d times", row, n)
		}
	}
	for _, row := range []string{"service bbbb", "service cccc", "webhook aaaa", "repository aaaa"} {
		if told[row] != 1 {
			t.Errorf("%s was not told of: %v", row, told)
		}
	}
	// The oldest operation is the damaged one. It is claimed and says so, and so is the next.
	if err := s.Update(t.Context(), func(tx *store.Tx) error {
		for i, want := range []string{"oaaaa", "obbbb"} {
			op, err := tx.ClaimOperation("me", time.Now().Add(time.Minute))
			if err != nil || op.ID != want || (op.Damaged != "") != (i == 0) {
				t.Errorf("claimed %+v, %v, want %s", op, err, want)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
