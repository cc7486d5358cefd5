package store

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func openFile(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "slipway.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestUpdateReturnsWithItsCommitOnDisk(t *testing.T) {
	t.Parallel()
	s := openFile(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				var mine int64
				err := s.Update(t.Context(), func(tx *Tx) error {
					mine = s.journal.commits.Load() + 1 // the writer is ours
					return tx.PutPendingDeployment("svc", t0)
				})
				if err != nil {
					t.Error(err)
					return
				}
				s.journal.mu.Lock()
				if s.journal.synced < mine {
					t.Errorf("commit %d is not on disk, only %d are", mine, s.journal.synced)
				}
				s.journal.mu.Unlock()
			}
		})
	}
	all.Wait()
}

func TestUnsyncedUpdateLeavesTheDiskToSync(t *testing.T) {
	t.Parallel()
	s := openFile(t)
	if err := s.UpdateUnsynced(t.Context(), func(tx *Tx) error { return tx.PutPendingDeployment("svc", t0) }); err != nil {
		t.Fatal(err)
	}
	if j := &s.journal; j.synced == j.commits.Load() {
		t.Error("the commit was synced")
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	if j := &s.journal; j.synced != j.commits.Load() {
		t.Error("the commit was not synced")
	}
}

func TestFailedSyncIsNeverForgotten(t *testing.T) {
	t.Parallel()
	s := openFile(t)
	path := s.journal.path
	s.journal.path = filepath.Join(t.TempDir(), "missing")
	put := func(tx *Tx) error { return tx.PutPendingDeployment("svc", t0) }
	if err := s.Update(t.Context(), put); err == nil {
		t.Fatal("an update that is not on disk succeeded")
	}
	s.journal.path = path
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), put); err == nil {
		t.Error("the next update succeeded, although what was lost may be lost for good")
	}
}
