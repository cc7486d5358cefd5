// Ocilayout packs one static binary as a container image in an OCI image
// layout, without Docker:
//
//	CGO_ENABLED=0 go build -o bin/hello ./examples/hello
//	go run ./examples/ocilayout -out bin/hello-oci bin/hello
//
// The image runs the binary as /<name> as user 65532, and contains nothing else
// but /tmp.
package main

import (
	"archive/tar"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func main() {
	out := flag.String("out", "", "directory of the layout; its content is replaced")
	ref := flag.String("ref", "", "the image's name in the layout (default <binary's name>:latest)")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: ocilayout -out DIR [-ref NAME] BINARY")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 || *out == "" {
		flag.Usage()
		os.Exit(2)
	}
	if err := pack(flag.Arg(0), *out, *ref); err != nil {
		fmt.Fprintln(os.Stderr, "ocilayout:", err)
		os.Exit(1)
	}
}

// pack writes the image of binary to the layout in dir.
func pack(binary, dir, ref string) error {
	name := filepath.Base(binary)
	if ref == "" {
		ref = name + ":latest"
	}
	body, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	img, err := image(name, body)
	if err != nil {
		return fmt.Errorf("make image of %s: %w", binary, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("write layout %s: %w", dir, err)
	}
	named := layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": ref})
	if err := p.AppendImage(img, named); err != nil {
		return fmt.Errorf("write layout %s: %w", dir, err)
	}
	return nil
}

// image returns an image that runs body as /name.
func image(name string, body []byte) (v1.Image, error) {
	files, err := archive(name, body)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files)), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), layer)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{
		Entrypoint:   []string{"/" + name},
		User:         "65532:65532",
		ExposedPorts: map[string]struct{}{"8080/tcp": {}},
	}
	return mutate.ConfigFile(mutate.ConfigMediaType(img, types.OCIConfigJSON), config)
}

// archive returns a layer's tar with the program and /tmp, without times, so
// that the same binary gives the same image.
func archive(name string, body []byte) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}); err != nil {
		return nil, err
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(body))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
