package runtimes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/openslipway/slipway/internal/build/step"
	"github.com/openslipway/slipway/internal/image"
)

// add makes an image of the publisher's with what that lacks.
func (s *Set) add(ctx context.Context, w want, digest string) (added string, err error) {
	dir, err := os.MkdirTemp(s.path("work"), w.Name+"-*")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	k := &kitchen{s, dir, func(string) {}}
	img, err := s.cfg.Images.Get(digest)
	if err != nil {
		return "", err
	}
	var layers []image.NewLayer
	if len(w.Add.Files) > 0 {
		l, err := k.files(ctx, w.Add)
		if err != nil {
			return "", err
		}
		layers = append(layers, l)
	}
	if commands := append(install(w.Add.Packages), w.Add.Commands...); len(commands) > 0 {
		env, err := s.environment(digest)
		if err != nil {
			return "", err
		}
		stage := step.Stage{Image: digest, Commands: commands, Env: append(s.env(w.version), step.Environment(env)...)}
		for _, l := range layers {
			stage.Layers = append(stage.Layers, l.Dir)
		}
		l, err := k.stage(ctx, "additions", stage)
		if err != nil {
			return "", err
		}
		layers = append(layers, l)
	}
	made, err := s.cfg.Images.Adopt(ctx, image.Adoption{Base: digest, Layers: layers, Config: img.Config, Created: time.Now().UTC()})
	return made.Digest, err
}

// files makes a layer of files of another image.
func (k *kitchen) files(ctx context.Context, a *addition) (image.NewLayer, error) {
	img, err := k.cfg.Images.Pull(image.WithPermit(ctx, nil), a.From, nil)
	if err != nil {
		return image.NewLayer{}, err
	}
	layers, err := k.cfg.Images.Layers(ctx, img.Digest)
	if err != nil {
		return image.NewLayer{}, err
	}
	dir := filepath.Join(k.dir, "files")
	for _, from := range slices.Sorted(maps.Keys(a.Files)) {
		if err := copyFromImage(layers, from, filepath.Join(dir, a.Files[from])); err != nil {
			return image.NewLayer{}, fmt.Errorf("take %s of %s: %w", from, a.From, err)
		}
	}
	return layerOf(ctx, dir, "slipway runtime: files of "+a.From)
}

// copyFromImage copies a regular file of an image, whose layers are given top first.
func copyFromImage(layers []string, from, to string) error {
	for _, dir := range layers {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return err
		}
		defer root.Close()
		st, err := root.Lstat(strings.TrimPrefix(from, "/"))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil || !st.Mode().IsRegular() {
			return errors.Join(errors.New("it is no file"), err)
		}
		in, err := root.Open(strings.TrimPrefix(from, "/"))
		if err != nil {
			return err
		}
		defer in.Close()
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, st.Mode().Perm())
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Close())
	}
	return os.ErrNotExist
}
