package store

import (
	"errors"
	"io/fs"
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
				if s.journal.synced.Load() < mine {
					t.Errorf("commit %d is not on disk, only %d are", mine, s.journal.synced.Load())
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
	if j := s.journal; j.synced.Load() == j.commits.Load() {
		t.Error("the commit was synced")
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	if j := s.journal; j.synced.Load() != j.commits.Load() {
		t.Error("the commit was not synced")
	}
}

// After a failed sync nothing is changed or told any more, and the process is to end.
func TestFailedSyncIsNeverForgotten(t *testing.T) {
	t.Parallel()
	s := openFile(t)
	path := s.journal.path
	s.journal.path = filepath.Join(t.TempDir(), "missing")
	put := func(tx *Tx) error { return tx.PutPendingDeployment("svc", t0) }
	if err := s.Update(t.Context(), put); !errors.Is(err, ErrLost) || !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("an update that is not on disk: %v", err)
	}
	select {
	case <-s.Lost():
	default:
		t.Error("the failure is not told")
	}
	s.journal.path = path
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	ran := false
	run := func(*Tx) error { ran = true; return nil }
	for name, try := range map[string]func() error{
		"Update":         func() error { return s.Update(t.Context(), run) },
		"UpdateUnsynced": func() error { return s.UpdateUnsynced(t.Context(), run) },
		"View":           func() error { return s.View(t.Context(), run) },
		"Sync":           s.Sync,
	} {
		if err := try(); !errors.Is(err, ErrLost) || ran {
			t.Errorf("the next %s: %v, and ran: %t, although what was lost may be lost for good", name, err, ran)
		}
	}
}

// A database that was closed is not one whose disk failed.
func TestClosedIsNotLost(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "slipway.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(tx *Tx) error { return tx.PutPendingDeployment("svc", t0) }); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Lost():
		t.Error("a closed database counts as lost")
	default:
	}
}
