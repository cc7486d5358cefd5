package imagetest

import (
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// SaveTar writes the image as `docker save` does, under the reference ref
// ("hello:latest"), and returns the file's path.
func SaveTar(tb testing.TB, img v1.Image, ref string) string {
	tb.Helper()
	tag, err := name.NewTag(ref)
	check(tb, err)
	path := filepath.Join(tb.TempDir(), "image.tar")
	check(tb, tarball.WriteToFile(path, tag, img))
	return path
}

// SaveLayout writes the image as an OCI layout named ref ("hello:latest"; ""
// for no name) and returns the directory.
func SaveLayout(tb testing.TB, img v1.Image, ref string) string {
	tb.Helper()
	dir := filepath.Join(tb.TempDir(), "layout")
	p, err := layout.Write(dir, empty.Index)
	check(tb, err)
	var opts []layout.Option
	if ref != "" {
		opts = append(opts, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": ref}))
	}
	check(tb, p.AppendImage(img, opts...))
	return dir
}

// Push pushes the image to ref, "127.0.0.1:8070/hello:latest".
func Push(tb testing.TB, img v1.Image, ref string, opts ...remote.Option) {
	tb.Helper()
	r, err := name.ParseReference(ref)
	check(tb, err)
	check(tb, remote.Write(r, img, opts...))
}
