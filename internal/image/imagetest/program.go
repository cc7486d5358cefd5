package imagetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Build compiles the main package pkg (an import path, or a directory relative
// to the test's such as "./testdata/hello") and returns an image that runs it
// as /app. The image also has /tmp, and an /etc/passwd and /etc/group with
// root, app (1000) and nobody (65534). Entrypoint is /app unless given.
//
// Linking takes some 0.3 s: a test that needs several images of one program
// compiles it once with Program and uses Run.
func Build(tb testing.TB, pkg string, o Options) v1.Image {
	tb.Helper()
	return Run(tb, Program(tb, pkg), o)
}

// Program compiles the main package pkg, static and without debug information,
// and returns the path of the binary. The test's cleanup removes it.
func Program(tb testing.TB, pkg string) string {
	tb.Helper()
	out := filepath.Join(tb.TempDir(), "app")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if b, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("imagetest: go build %s: %v\n%s", pkg, err, b)
	}
	return out
}

// Run returns the image that Build would return, for a compiled program.
func Run(tb testing.TB, binary string, o Options) v1.Image {
	tb.Helper()
	body, err := os.ReadFile(binary)
	check(tb, err)
	if o.Entrypoint == nil {
		o.Entrypoint = []string{"/app"}
	}
	base := Layer(tb,
		Dir("etc/", 0o755),
		Text("etc/passwd", "root:x:0:0:root:/root:/sbin/nologin\napp:x:1000:1000::/home/app:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"),
		Text("etc/group", "root:x:0:\napp:x:1000:\nnogroup:x:65534:\n"),
		Dir("root/", 0o700),
		Dir("tmp/", 0o1777),
	)
	layers := []v1.Layer{base}
	if len(o.Files) > 0 {
		layers = append(layers, Layer(tb, o.Files...))
		o.Files = nil
	}
	return Image(tb, o, append(layers, Layer(tb, Exec("app", body)))...)
}
