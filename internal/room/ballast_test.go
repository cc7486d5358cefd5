package room_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/room"
	"github.com/openslipway/slipway/internal/room/roomtest"
)

// The ballast holds its space against a writer who does not ask, gives it up bit by bit
// for one who does, and is made again once there is room.
func TestBallast(t *testing.T) {
	t.Parallel()
	dir := roomtest.Disk(t, "size=80m")
	b := &room.Ballast{Path: filepath.Join(dir, "ballast")}
	balance := func(missing int64) {
		t.Helper()
		if err := b.Balance(); err != nil {
			t.Fatal(err)
		}
		if got, err := b.Missing(); err != nil || got != missing {
			t.Fatalf("%d bytes are missing, %v; want %d", got, err, missing)
		}
	}
	fill := func(name string) (n int) {
		t.Helper()
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for err == nil {
			var k int
			k, err = f.Write(make([]byte, 64<<10))
			n += k
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
		return n
	}
	if missing, err := b.Missing(); err != nil || missing != 4<<20 {
		t.Errorf("%d bytes are missing before the first, %v", missing, err)
	}
	balance(0)
	if n := fill("filler"); n > 77<<20 {
		t.Fatalf("%d bytes were written beside the ballast", n)
	}
	balance(1 << 20)
	balance(1 << 20) // of which nothing was used yet
	if n := fill("database"); n < 900<<10 {
		t.Errorf("%d bytes of what was given up could be used", n)
	}
	balance(2 << 20)
	if err := b.Give(); err != nil {
		t.Fatal(err)
	}
	balance(3 << 20)
	fill("database2")
	balance(4 << 20)
	fill("database3")
	balance(4 << 20) // there is nothing more
	if err := b.Give(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
		t.Fatal(err)
	}
	balance(0)
	if err := b.Balance(); err != nil {
		t.Error(err)
	}
}
