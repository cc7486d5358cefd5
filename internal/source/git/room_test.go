package git_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/openslipway/slipway/internal/room"
	"github.com/openslipway/slipway/internal/room/roomtest"
	"github.com/openslipway/slipway/internal/source/git"
	"github.com/openslipway/slipway/internal/source/git/gittest"
)

// TestReserveOfTheDisk fetches commits of which only one fits beside the reserve.
func TestReserveOfTheDisk(t *testing.T) {
	t.Parallel()
	disk := roomtest.Disk(t, "size=20m,mode=755")
	b := setup(t, func(c *git.Config) { c.Dir = filepath.Join(disk, "git") })
	repo := gittest.New(t, b.root, "app")
	small := repo.Commit("Small", map[string]string{"a": "one"})
	large := repo.Commit("Large", map[string]string{"a": string(make([]byte, 25<<20))}) // a pack of 25 KB
	fetch := func(commit string) error {
		dir := filepath.Join(disk, commit)
		_, err := b.Fetch(t.Context(), b.file("app"), commit, dir, nil)
		return errors.Join(err, os.RemoveAll(dir))
	}
	if err := fetch(small); err != nil {
		t.Errorf("the control: %v", err)
	}
	var full *room.Error
	if err := fetch(large); !errors.As(err, &full) {
		t.Errorf("25 MiB on a disk of 20 MiB: %v", err)
	}
	if err := os.WriteFile(filepath.Join(disk, "other"), make([]byte, 19<<20+512<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := fetch(small); !errors.As(err, &full) {
		t.Errorf("with the reserve of the disk in use: %v", err)
	}
}
