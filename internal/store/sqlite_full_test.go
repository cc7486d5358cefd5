package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/room"
	"github.com/openslipway/slipway/internal/room/roomtest"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
)

// On a disk that others have filled the database goes on changing, from its ballast, and
// is whole afterwards.
func TestFullDiskTakesTheBallast(t *testing.T) {
	t.Parallel()
	dir := roomtest.Disk(t, "size=80m")
	path := filepath.Join(dir, "slipway.db")
	storetest.Create(t, path)
	s, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ballast := &room.Ballast{Path: filepath.Join(dir, "ballast")}
	s.HoldRoom(ballast)
	change := func(i int) error {
		return s.Update(t.Context(), func(tx *store.Tx) error {
			return tx.PutPendingDeployment(fmt.Sprint("svc", i), time.Unix(int64(i), 0))
		})
	}
	if err := change(0); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 80<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	const changes = 200
	for i := 1; i <= changes; i++ {
		if err := change(i); err != nil {
			t.Fatalf("change %d: %v", i, err)
		}
	}
	if missing, err := ballast.Missing(); err != nil || missing == 0 {
		t.Errorf("%d bytes of the ballast were given up, %v", missing, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := change(0); err != nil {
		t.Fatal(err)
	}
	if missing, err := ballast.Missing(); err != nil || missing != 0 {
		t.Errorf("with room again %d bytes of the ballast are missing, %v", missing, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Verify(t.Context(), path); err != nil {
		t.Error(err)
	}
}
