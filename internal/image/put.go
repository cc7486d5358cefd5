package image

import (
	"bytes"
	"context"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/decompress"
)

// Put stores an image made in this process and tags it in the local registry as
// name ("repository:tag"; "" for no name).
func (s *Store) Put(ctx context.Context, name string, img v1.Image) (Image, error) {
	l := s.leases.open()
	defer l.release()
	raw, m, err := rawManifest(img)
	if err != nil {
		return Image{}, err
	}
	if err := s.checkContainer(name, m); err != nil {
		return Image{}, err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return Image{}, fmt.Errorf("put image %s: %w", name, err)
	}
	if err := s.ingest(ctx, l, *m.Config, bytes.NewReader(config)); err != nil {
		return Image{}, err
	}
	layers, err := img.Layers()
	if err != nil {
		return Image{}, fmt.Errorf("put image %s: %w", name, err)
	}
	if len(layers) != len(m.Layers) {
		return Image{}, fmt.Errorf("put image %s: %d layers, %d in its manifest", name, len(layers), len(m.Layers))
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(s.limits.Unpacks) // compressing costs as much as unpacking
	for i, d := range m.Layers {
		g.Go(func() error { return s.putLayer(gctx, l, d, layers[i]) })
	}
	if err := g.Wait(); err != nil {
		return Image{}, fmt.Errorf("put image %s: %w", name, err)
	}
	h := hashOf(raw)
	d := v1.Descriptor{MediaType: m.MediaType, Digest: h, Size: int64(len(raw))}
	if err := s.ingest(ctx, l, d, bytes.NewReader(raw)); err != nil {
		return Image{}, err
	}
	return s.tagStored(name, d, m)
}

func rawManifest(img v1.Image) ([]byte, *manifest, error) {
	raw, err := img.RawManifest()
	if err != nil {
		return nil, nil, fmt.Errorf("put image: %w", err)
	}
	mt, err := img.MediaType()
	if err != nil {
		return nil, nil, fmt.Errorf("put image: %w", err)
	}
	m, err := parseManifest(raw, mt)
	return raw, m, err
}

func (s *Store) putLayer(ctx context.Context, l *lease, d v1.Descriptor, layer v1.Layer) error {
	return s.flights.do(ctx, blobKey(d.Digest), func() error {
		if ok, err := s.present(l, d); ok || err != nil {
			return err
		}
		r, err := layer.Compressed()
		if err != nil {
			return err
		}
		defer r.Close()
		return s.ingest(ctx, l, d, r)
	})
}

// tagStored tags a stored manifest or index in the local registry, "" for no
// tag, and returns the image that it leads to. The caller holds a lease on all
// of it.
func (s *Store) tagStored(name string, d v1.Descriptor, m *manifest) (Image, error) {
	ref := ""
	if name != "" {
		repo, tag, err := localName(name)
		if err != nil {
			return Image{}, err
		}
		ref = repo + ":" + tag
		if err := s.link(repo, tag, d, m); err != nil {
			return Image{}, err
		}
	}
	h, err := s.descend(name, d.Digest)
	if err != nil {
		return Image{}, err
	}
	img, err := s.describe(h, ref)
	if err != nil {
		return Image{}, err
	}
	return img, s.remember(h, record{Ref: ref, Local: true})
}

// savedLayer returns the media type of a layer that begins with head.
func savedLayer(head []byte) types.MediaType {
	switch decompress.Detect(head) {
	case decompress.None:
		return types.OCIUncompressedLayer
	case decompress.Zstd:
		return types.OCILayerZStd
	}
	return types.OCILayer // also of xz and bzip2, for which OCI has no type: who unpacks looks
}

// readAll reads a small file of an import into memory.
func readAll(r io.Reader, name string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(b) > MaxManifest {
		return nil, slipway.Errorf(slipway.InvalidRequest, "%s is larger than the %d bytes it may have.", name, MaxManifest)
	}
	return b, nil
}
