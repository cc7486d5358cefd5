package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/faulttest"
	"github.com/openslipway/slipway/internal/store"
)

func TestMain(m *testing.M) {
	faulttest.Main(m, map[string]faulttest.Work{"changes": changes, "killed": killed, "told": told})
}

func openFile(dir string) (*store.Store, error) {
	return store.Open(context.Background(), filepath.Join(dir, "slipway.db"))
}

// changes makes changes, of which some are synced later, and opens the database several
// times: closing it moves the log into the file.
func changes(dir string, promise func(string)) error {
	for round := range 3 {
		s, err := openFile(dir)
		if err != nil {
			return err
		}
		for i := range 3 {
			later, now := service(fmt.Sprintf("later-%d-%d", round, i)), service(fmt.Sprintf("now-%d-%d", round, i))
			err := s.UpdateUnsynced(context.Background(), func(tx *store.Tx) error { return tx.InsertService(later) })
			if err == nil {
				err = s.Update(context.Background(), func(tx *store.Tx) error {
					return errors.Join(tx.InsertService(now), tx.InsertOperation(operation(now, slipway.CreateService)))
				})
			}
			if err != nil {
				return err
			}
			promise(later.Name + " " + now.Name)
		}
		if err := s.Close(); err != nil {
			return err
		}
	}
	return nil
}

// killed ends after commits that no sync follows.
func killed(dir string, _ func(string)) error {
	s, err := openFile(dir)
	if err != nil {
		return err
	}
	return s.UpdateUnsynced(context.Background(), func(tx *store.Tx) error { return tx.InsertService(service("seen")) })
}

// told reads what a process before it has committed, and tells of it.
func told(dir string, promise func(string)) error {
	s, err := openFile(dir)
	if err != nil {
		return err
	}
	err = s.View(context.Background(), func(tx *store.Tx) error { _, err := tx.ServiceByName("seen"); return err })
	if err == nil {
		promise("seen")
	}
	return err
}

// Whatever reaches the disk before a power loss, the database opens and has each change that
// was acknowledged, and none in part.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	for name, works := range map[string][]string{"changes": {"changes"}, "told after a kill": {"changes", "killed", "told"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := faulttest.Record(t, t.TempDir())
			for _, work := range works {
				r.Run(t, work)
			}
			tried := 0
			for loss := range r.PowerLosses(faulttest.Seed(t), 4, faulttest.Tries(t, 120)) {
				tried++
				loss.In(t, func(dir string) {
					if err := keeps(t.Context(), dir, loss.Promised); err != nil {
						t.Errorf("%v: %v", loss, err)
					}
				})
			}
			t.Logf("%d power losses of %d events", tried, r.Len())
		})
	}
}

// keeps says what a database lacks of what was promised.
func keeps(ctx context.Context, dir string, promised []string) error {
	s, err := openFile(dir)
	if err != nil {
		return err
	}
	err = s.View(ctx, func(tx *store.Tx) error {
		for _, line := range promised {
			for _, name := range strings.Fields(line) {
				v, err := tx.ServiceByName(name)
				if err != nil {
					return fmt.Errorf("%s was promised: %w", name, err)
				}
				if ops, err := tx.OperationsOf(v.ID, t0.AddDate(1, 0, 0), "", 2); err != nil || strings.HasPrefix(name, "now") && len(ops) != 1 {
					return fmt.Errorf("%s has the operations %v, %w", name, ops, err)
				}
			}
		}
		return nil
	})
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	_, err = store.Verify(ctx, filepath.Join(dir, "slipway.db"))
	return err
}
