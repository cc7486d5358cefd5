package unpack_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	. "github.com/openslipway/slipway/internal/image/imagetest"
	"github.com/openslipway/slipway/internal/image/unpack"
	"github.com/openslipway/slipway/internal/room"
	"github.com/openslipway/slipway/internal/room/roomtest"
)

// onDisk returns how many bytes a file takes on the disk.
func onDisk(t testing.TB, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

// spendLayer unpacks a layer at the cost of a budget.
func spendLayer(t testing.TB, b []byte, below unpack.Below, budget *unpack.Budget) (dir string, stats unpack.Stats, err error) {
	t.Helper()
	needRoot(t)
	dir = t.TempDir()
	d := unpack.Digests{Blob: digest(b), Diff: digest(b)}
	stats, err = unpack.Layer(t.Context(), bytes.NewReader(b), d, dir, below, budget, slog.New(slog.DiscardHandler))
	return dir, stats, err
}

// A hole takes nothing of the disk, and zeros become one.
func TestHolesStayHoles(t *testing.T) {
	t.Parallel()
	const size = 48 << 20
	mixed := strings.Repeat("\x00", 1<<20) + "data" + strings.Repeat("\x00", 1<<20+17) + "end"
	zeros := strings.Repeat("\x00", 1<<20)
	b := append(hole("hole", size), Tar(t, Text("mixed", mixed), Text("zeros", zeros), Text("empty", ""))...)
	dir, stats, err := spendLayer(t, b, unpack.Below{Known: true}, testLimits.Budget(int64(len(b)), nil))
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(dir + "/hole"); err != nil || fi.Size() != size {
		t.Fatalf("the hole: %v, %v", fi, err)
	}
	for name, most := range map[string]int64{"hole": 0, "zeros": 0, "empty": 0, "mixed": 64 << 10} {
		if n := onDisk(t, filepath.Join(dir, name)); n > most {
			t.Errorf("%s takes %d bytes, want %d at most", name, n, most)
		}
	}
	for name, want := range map[string]string{"mixed": mixed, "zeros": zeros, "empty": ""} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s holds %d bytes other than the %d of the tar: %v", name, len(got), len(want), err)
		}
	}
	if stats.Bytes < size || stats.Written > 32<<10 {
		t.Errorf("counted %+v", stats.Cost)
	}
}

// What is read and written counts over all layers of an image, however little of it a
// layer's tar holds.
func TestLayersShareTheBudget(t *testing.T) {
	t.Parallel()
	limits := unpack.Limits{Bytes: 16 << 20, Entries: 1000, Ratio: 10, Slack: 1 << 20}
	base, _, err := spendLayer(t, Tar(t, Text("big", strings.Repeat("x", 400<<10))), unpack.Below{Known: true}, testLimits.Budget(1<<20, nil))
	if err != nil {
		t.Fatal(err)
	}
	attributes := func(i int) File {
		f := Text(fmt.Sprint("f", i), "")
		f.Format, f.PAXRecords = tar.FormatPAX, map[string]string{"SCHILY.xattr.user.a": strings.Repeat("a", 60<<10)}
		return f
	}
	for _, tt := range []struct {
		name  string
		layer func(i int) []byte
		want  string
	}{
		{"copies of a lower file", func(int) []byte { return Tar(t, Hardlink("again", "big")) }, "more than 10 times"},
		{"tars", func(int) []byte { return Tar(t, Text("a", strings.Repeat("x", 400<<10))) }, "more than 10 times"},
		{"attributes", func(i int) []byte { return Tar(t, attributes(i)) }, "more than 10 times"},
		{"directories", func(int) []byte {
			var files []File
			for i := range 100 {
				files = append(files, Dir(fmt.Sprint("d", i, "/"), 0o755))
			}
			return Tar(t, files...)
		}, "than"},
		{"holes", func(int) []byte { return append(hole("hole", 6<<20), make([]byte, 1024)...) }, "larger than the 16777216 bytes"},
		{"entries", func(i int) []byte {
			var files []File
			for i := range 300 {
				files = append(files, Symlink(fmt.Sprint("s", i), "x"))
			}
			return Tar(t, files...)
		}, "more than the 1000 entries"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			budget := limits.Budget(0, nil)
			below := unpack.Below{Known: true, Dirs: []string{base}}
			for i := range 40 {
				_, _, err := spendLayer(t, tt.layer(i), below, budget)
				if _, poor := errors.AsType[*unpack.CostError](err); poor && i > 0 {
					if slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), tt.want) {
						t.Errorf("error %v, want %q", err, tt.want)
					}
					return
				}
				if err != nil {
					t.Fatalf("layer %d: %v", i, err)
				}
			}
			t.Error("40 layers, and the budget still allows more")
		})
	}
}

// A layer that fails costs its image nothing: nothing of it is kept.
func TestFailedLayerIsRefunded(t *testing.T) {
	t.Parallel()
	limits := unpack.Limits{Bytes: 1 << 20, Entries: 4, Ratio: 1, Slack: 1 << 20}
	budget := limits.Budget(0, nil)
	bad := Tar(t, Text("a", strings.Repeat("x", 600<<10)), Hardlink("b", "c"))
	for range 3 {
		if _, _, err := spendLayer(t, bad, unpack.Below{}, budget); !errors.Is(err, unpack.ErrNeedsBelow) {
			t.Fatal(err)
		}
	}
	if _, _, err := spendLayer(t, Tar(t, Text("a", strings.Repeat("x", 600<<10))), unpack.Below{}, budget); err != nil {
		t.Error(err)
	}
}

// Names that are kept in memory are bounded by their bytes.
func TestNamesOfDirectories(t *testing.T) {
	t.Parallel()
	var files []File
	for range 20 {
		files = append(files, Dir(strings.Repeat("d", 200)+"/", 0o755))
	}
	b := Tar(t, files...)
	limits := testLimits
	limits.Names = 3000
	_, _, err := spendLayer(t, b, unpack.Below{Known: true}, limits.Budget(int64(len(b)), nil))
	if slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), "3000 bytes") {
		t.Errorf("4000 bytes of names: %v", err)
	}
}

// Links to links cost the kernel milliseconds for one name.
func TestLinksThroughTheLayersBelow(t *testing.T) {
	t.Parallel()
	// Each link leads through 500 directories and to the next one.
	long := strings.Repeat("d/../", 500)
	files := []File{Dir("d/", 0o755), Dir("end/", 0o755), Text("end/f", "")}
	to := "end"
	for i := range 38 {
		link := fmt.Sprint("l", i)
		files = append(files, Symlink(link, long+to))
		to = link
	}
	below := stack(t, files)
	b := Tar(t, Hardlink("h", "l37/f"))
	limits := testLimits
	if _, _, err := spendLayer(t, b, below, limits.Budget(int64(len(b)), nil)); err != nil {
		t.Fatal(err)
	}
	limits.Lookups = 10_000
	_, _, err := spendLayer(t, b, below, limits.Budget(int64(len(b)), nil))
	if slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), "can't be followed") {
		t.Errorf("a link through 38 others: %v", err)
	}
}

// The reserve of the disk is never used.
func TestReserveOfTheDisk(t *testing.T) {
	t.Parallel()
	disk := roomtest.Disk(t, "size=20m")
	b := Tar(t, Text("a", strings.Repeat("x", 30<<20)))
	d := unpack.Digests{Blob: digest(b), Diff: digest(b)}
	budget := testLimits.Budget(int64(len(b)), &room.Gauge{Dir: disk})
	_, err := unpack.Layer(t.Context(), bytes.NewReader(b), d, disk, unpack.Below{Known: true}, budget, slog.New(slog.DiscardHandler))
	var full *room.Error
	if !errors.As(err, &full) {
		t.Fatalf("error %v, want one of the reserve", err)
	}
	if left, _, err := room.Left(disk); err != nil || left < -256<<10 {
		t.Errorf("%d bytes left, %v", left, err)
	}
}
