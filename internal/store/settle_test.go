package store_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
)

var errRefused = errors.New("refused")

func openOnDisk(t *testing.T) (*store.Store, *storetest.Disk) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "slipway.db")
	storetest.Create(t, path)
	disk := storetest.NewDisk()
	s, err := store.OpenOn(t.Context(), path, disk.Sync)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, disk
}

func put(tx *store.Tx) error { return tx.PutPendingDeployment("svc", time.Unix(1, 0)) }

func pending(tx *store.Tx) error {
	list, err := tx.PendingDeployments()
	if err == nil && len(list) != 1 {
		err = errors.New("the commit is not seen")
	}
	return err
}

func unsynced(t *testing.T, s *store.Store) {
	t.Helper()
	if err := s.UpdateUnsynced(t.Context(), put); err != nil {
		t.Fatal(err)
	}
}

// tellers are the ways to learn what the store holds in order to tell somebody.
func tellers(s *store.Store) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"View":            func(ctx context.Context) error { return s.View(ctx, pending) },
		"a failed View":   func(ctx context.Context) error { return s.View(ctx, refuse) },
		"a failed Update": func(ctx context.Context) error { return s.Update(ctx, refuse) },
		"DeferSync": func(ctx context.Context) error {
			ctx, settle := s.DeferSync(ctx)
			return errors.Join(s.View(ctx, pending), settle())
		},
		"DeferSync after a look": func(ctx context.Context) error {
			if err := s.ViewUnsynced(ctx, pending); err != nil {
				return err
			}
			_, settle := s.DeferSync(ctx)
			return settle()
		},
	}
}

func refuse(tx *store.Tx) error { return errors.Join(pending(tx), errRefused) }

// waits returns when a sync is asked for, before which nothing may be told.
func waits(t *testing.T, disk *storetest.Disk, told <-chan error) {
	t.Helper()
	select {
	case <-disk.Asked:
	case err := <-told:
		t.Fatalf("it told what is not on disk: %v", err)
	}
}

// What was seen is told when a power loss does not undo it any more.
func TestSeenWaitsForTheDisk(t *testing.T) {
	t.Parallel()
	for name := range tellers(nil) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, disk := openOnDisk(t)
			tell := tellers(s)[name]
			release := disk.Hold()
			unsynced(t, s)
			if err := s.ViewUnsynced(t.Context(), pending); err != nil {
				t.Fatal(err)
			}
			told := make(chan error, 1)
			go func() { told <- tell(t.Context()) }()
			waits(t, disk, told)
			select {
			case err := <-told:
				t.Errorf("it did not wait for the disk: %v", err)
			default:
			}
			release(nil)
			if err := <-told; err != nil && !errors.Is(err, errRefused) {
				t.Error(err)
			}
			before := disk.Syncs.Load()
			if err := tell(t.Context()); err != nil && !errors.Is(err, errRefused) {
				t.Error(err)
			}
			if n := disk.Syncs.Load() - before; n != 0 {
				t.Errorf("what is on disk was synced %d times more", n)
			}
		})
	}
}

// A failed sync is the answer, whatever the transaction found.
func TestSeenIsNotToldAfterAFailedSync(t *testing.T) {
	t.Parallel()
	for name := range tellers(nil) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, disk := openOnDisk(t)
			release := disk.Hold()
			unsynced(t, s)
			told := make(chan error, 1)
			go func() { told <- tellers(s)[name](t.Context()) }()
			waits(t, disk, told)
			release(errors.New("I/O error"))
			if err := <-told; !errors.Is(err, store.ErrLost) || errors.Is(err, errRefused) {
				t.Errorf("it tells %v", err)
			}
			<-s.Lost()
		})
	}
}

// One sync serves all who wait, those who saw nothing new wait for nobody's, and loops
// wait for none.
func TestSeenTogether(t *testing.T) {
	t.Parallel()
	s, disk := openOnDisk(t)
	release := disk.Hold()
	unsynced(t, s)
	told := make(chan error, 20)
	var all sync.WaitGroup
	for range cap(told) {
		all.Go(func() { told <- s.View(t.Context(), pending) })
	}
	waits(t, disk, told)
	if err := s.ViewUnsynced(t.Context(), pending); err != nil {
		t.Error(err)
	}
	release(nil)
	all.Wait()
	close(told)
	for err := range told {
		if err != nil {
			t.Error(err)
		}
	}
	if n := disk.Syncs.Load(); n != 1 {
		t.Errorf("%d syncs for readers of one commit", n)
	}
}
