package unpack_test

import (
	"archive/tar"
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/openslipway/slipway/internal/image/imagetest"
	"github.com/openslipway/slipway/internal/image/unpack"
)

var fuzzLimits = unpack.Limits{Bytes: 1 << 20, Entries: 200, Ratio: 200, Slack: 1 << 20}

// FuzzLayer unpacks random bytes.
func FuzzLayer(f *testing.F) {
	f.Add(Tar(f, Dir("a/", 0), Text("a/b", "x"), Symlink("c", "../a"), Hardlink("d", "a/b"), Text(".wh.e", "")))
	f.Add([]byte{0x1f, 0x8b, 8, 0})
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0})
	f.Fuzz(func(t *testing.T, b []byte) { contained(t, b) })
}

// FuzzEntries reads its input as a list of well-formed entries with hostile
// names, which random bytes would hardly ever be.
func FuzzEntries(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 2, 3, 2, 8, 0, 0, 9, 1})
	f.Add([]byte{2, 11, 5, 0, 12, 0, 4, 2, 3, 1, 6, 0})
	f.Add([]byte{5, 3, 0, 1, 3, 0, 0, 4, 0, 2, 3, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		for ; len(b) >= 3; b = b[3:] {
			writeNasty(w, b[0], b[1], b[2])
		}
		w.Close()
		contained(t, buf.Bytes())
	})
}

var (
	nastyTypes = []byte{tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink, tar.TypeChar, tar.TypeFifo, tar.TypeBlock, tar.TypeXGlobalHeader}
	nastyNames = []string{
		"a", "a/b", "a/b/c", "b", "b/c", ".", "/", "..", "../canary", "/canary", "c/canary", "a/../../canary", "",
		".wh.a", ".wh.b", "a/.wh..wh..opq", "a/.wh.b", ".wh..", ".wh...", ".wh..wh.plnk/x", "dev/null", "a//b", "./b/", "\x00", "a/\xff",
	}
	nastyTargets = []string{"a", "b", "a/b", "..", "../", "../canary", "/", "../../..", "/proc/self/cwd", "/proc/self/root", "c", ".", "", "../target/a"}
)

func writeNasty(w *tar.Writer, kind, name, arg byte) {
	h := &tar.Header{
		Typeflag: nastyTypes[int(kind)%len(nastyTypes)],
		Name:     nastyNames[int(name)%len(nastyNames)],
		Mode:     int64(arg) << 4,
		Uid:      int(kind) * int(arg),
		ModTime:  time.Unix(int64(arg)<<int(kind%40), 0),
	}
	switch h.Typeflag {
	case tar.TypeReg:
		h.Size = int64(arg)
	case tar.TypeSymlink, tar.TypeLink:
		h.Linkname = nastyTargets[int(arg)%len(nastyTargets)]
	case tar.TypeXGlobalHeader:
		*h = tar.Header{Typeflag: h.Typeflag, PAXRecords: map[string]string{"path": nastyNames[int(arg)%len(nastyNames)]}}
	}
	if w.WriteHeader(h) == nil {
		w.Write(make([]byte, h.Size))
	}
}

// contained unpacks b and fails if anything beside the target changed.
func contained(t *testing.T, b []byte) {
	needRoot(t)
	base := t.TempDir()
	canary, target := filepath.Join(base, "canary"), filepath.Join(base, "target")
	if err := os.WriteFile(canary, []byte("alive"), 0o640); err != nil {
		t.Fatal(err)
	}
	before, err := os.Lstat(canary)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(target, 0o755); err != nil {
		t.Fatal(err)
	}
	// Wrong digests: the error comes only after everything was written.
	unpack.Layer(t.Context(), bytes.NewReader(b), unpack.Digests{}, target, unpack.Below{Known: true}, fuzzLimits.Budget(int64(len(b)), nil), slog.New(slog.DiscardHandler))
	// The result also serves as the layer below.
	above := filepath.Join(base, "above")
	if err := os.Mkdir(above, 0o755); err != nil {
		t.Fatal(err)
	}
	unpack.Layer(t.Context(), bytes.NewReader(b), unpack.Digests{}, above, unpack.Below{Known: true, Dirs: []string{target}}, fuzzLimits.Budget(int64(len(b)), nil), slog.New(slog.DiscardHandler))

	after, err := os.Lstat(canary)
	if err != nil || after.Mode() != before.Mode() || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) || !os.SameFile(before, after) {
		t.Fatalf("canary was %v, is %v, %v", before, after, err)
	}
	left, err := os.ReadDir(base)
	if err != nil || len(left) != 3 {
		t.Fatalf("beside the target: %v, %v", left, err)
	}
	for _, dir := range []string{target, above} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatalf("cannot be removed: %v", err)
		}
	}
}
