package room_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/room"
	"github.com/openslipway/slipway/internal/room/roomtest"
)

func TestWriterLeavesTheReserve(t *testing.T) {
	t.Parallel()
	const size = 40 << 20
	dir := roomtest.Disk(t, fmt.Sprintf("size=%d", size))
	f, err := os.Create(filepath.Join(dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := &room.Writer{W: f, Gauge: &room.Gauge{Dir: dir}}
	block := bytes.Repeat([]byte("x"), 1<<20)
	n := 0
	for ; err == nil && n < size; n += len(block) {
		_, err = w.Write(block)
	}
	var full *room.Error
	if !errors.As(err, &full) || !errors.Is(err, unix.ENOSPC) || full.Dir != dir || full.What != "disk" {
		t.Fatalf("after %d bytes: %v", n, err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	if free := int64(st.Bavail) * st.Bsize; free == 0 || n < size/4 {
		t.Errorf("%d bytes free after %d were written", free, n)
	}
}

// TestHalfForTheServer writes what may use half of the reserve after what may use none.
func TestHalfForTheServer(t *testing.T) {
	t.Parallel()
	const size = 80 << 20 // a reserve of 4 MiB
	dir := roomtest.Disk(t, fmt.Sprintf("size=%d", size))
	write := func(g *room.Gauge) (n int64) {
		f, err := os.CreateTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for err == nil && n < size {
			var k int
			k, err = (&room.Writer{W: f, Gauge: g}).Write(make([]byte, 64<<10))
			n += int64(k)
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
		return n
	}
	if n := write(&room.Gauge{Dir: dir}); n < 75<<20 || n > 76<<20 {
		t.Errorf("%d bytes of strangers were written to 80 MiB", n)
	}
	if n := write(&room.Gauge{Dir: dir, Own: true}); n < 1<<20 || n > 2<<20 {
		t.Errorf("%d bytes of the server's own were written then, want half of the reserve", n)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	dir := roomtest.Disk(t, "size=20m,nr_inodes=200")
	if err := room.Check(dir, 10<<20); err != nil {
		t.Errorf("10 of 20 MiB: %v", err)
	}
	if err := room.Check(dir, 20<<20); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("all 20 MiB, with the reserve: %v", err)
	}
	for i := range 197 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var full *room.Error
	if err := room.Check(dir, 1); !errors.As(err, &full) || full.What != "inodes" {
		t.Errorf("with 198 of 200 files: %v", err)
	}
	if _, _, err := room.Left(filepath.Join(dir, "none")); err == nil {
		t.Error("a directory that is not there has room")
	}
}
