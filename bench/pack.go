package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// hostImage packs a program of this machine, with the libraries that it is linked to and
// other directories that it needs, as an image that runs it on a script.
func hostImage(dir, program, script string, with ...string) error {
	list, err := exec.Command("ldd", program).Output()
	if err != nil {
		return fmt.Errorf("ldd %s: %w", program, err)
	}
	for field := range strings.FieldsSeq(string(list)) {
		if strings.HasPrefix(field, "/") {
			with = append(with, field)
		}
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, path := range append(with, program) {
		if err := addTree(w, path); err != nil {
			return fmt.Errorf("pack %s: %w", path, err)
		}
	}
	if err := errors.Join(addFile(w, "app", 0o644, []byte(script)), w.Close()); err != nil {
		return err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return err
	}
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), layer)
	if err != nil {
		return err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{Entrypoint: []string{program, "/app"}}
	if img, err = mutate.ConfigFile(mutate.ConfigMediaType(img, types.OCIConfigJSON), config); err != nil {
		return err
	}
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	return p.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "app:latest"}))
}

// addTree adds a file, or a directory with all files in it. Links become what they lead to.
func addTree(w *tar.Writer, root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "test" || name == "__pycache__" {
				return fs.SkipDir
			}
			return nil
		}
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			return nil // a link to nothing, or to a directory
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return addFile(w, strings.TrimPrefix(path, "/"), info.Mode().Perm()|0o444, text)
	})
}

func addFile(w *tar.Writer, name string, mode fs.FileMode, text []byte) error {
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(mode), Size: int64(len(text))})
	if err == nil {
		_, err = w.Write(text)
	}
	return err
}
