package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/room"
)

// Progress is how far a pull has come. Bytes can go down when a download is
// restarted.
type Progress struct {
	Layers, LayersDone int
	Bytes, Total       int64 // of the blobs missing at the start
}

// Pull makes the image that ref names completely present and returns it with
// the digest of its manifest for the store's platform. Each call resolves ref
// again; the digest stays valid.
//
// References to this server's registry, among them every
// <account>.dkr.ecr.<region>.amazonaws.com/..., are looked up there. References
// without a registry are looked up there, too; at Docker Hub only if that is allowed
// and nothing here bears the name. All others are pulled from their registry; if the
// image is already here, Pull only asks that registry for the manifest's digest.
//
// progress, if not nil, is called from time to time, never concurrently. Errors
// that the user can act on are *slipway.Error; errors that a retry may resolve
// also wrap ErrUnavailable.
func (s *Store) Pull(ctx context.Context, ref string, progress func(Progress)) (Image, error) {
	t, err := s.resolve(ref, s.cfg.DockerHub)
	if err != nil {
		return Image{}, err
	}
	if err := s.refuseBorne(t); err != nil {
		return Image{}, err
	}
	return s.pull(ctx, ref, t, progress)
}

func (s *Store) pull(ctx context.Context, ref string, t target, progress func(Progress)) (Image, error) {
	p := &pull{s: s, l: s.leases.open(), t: t, report: progress}
	defer p.l.release()
	h, rec, err := p.find(ctx)
	if err != nil {
		return Image{}, s.explain(err)
	}
	img, err := s.describe(h, ref)
	if err != nil {
		return Image{}, err
	}
	rec.Ref = ref
	return img, s.remember(h, rec)
}

// pull is one call of Pull.
type pull struct {
	s *Store
	l *lease
	t target
	// host is the registry that the image is pulled from, "" for this server's own. What
	// is here counts as present only if that registry delivered it.
	host string

	mu       sync.Mutex // guards progress and calls of report
	progress Progress
	reported int64 // Bytes at the last report
	report   func(Progress)
}

// find returns the manifest of the image for the store's platform, completely
// present.
func (p *pull) find(ctx context.Context) (v1.Hash, record, error) {
	for _, repo := range p.t.local {
		if err := Permitted(ctx, repo); err != nil {
			return v1.Hash{}, record{}, err
		}
		d, err := p.s.lookUp(repo, p.t.identifier())
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return v1.Hash{}, record{}, err
		}
		h, complete, err := p.complete(d.Digest)
		if err == nil && !complete {
			err = slipway.Errorf(slipway.InvalidRequest, "The image %q is incomplete in this server's registry: push it again.", p.t.text)
		}
		return h, record{Local: true}, err
	}
	if !p.t.remote {
		return v1.Hash{}, record{}, p.s.notFound(p.t)
	}
	h, index, err := p.fromRegistry(ctx)
	return h, record{Index: index}, err
}

// notFound says what the local registry has instead.
func (s *Store) notFound(t target) error {
	repo, known := t.local[0], false
	for _, r := range t.local {
		owned, err := s.owns(r)
		if err != nil {
			return err
		}
		if owned && !known {
			repo, known = r, true
		}
	}
	tags, err := s.Tags(repo)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	has := fmt.Sprintf("has no repository %q", repo)
	if known {
		has = fmt.Sprintf("has no %q in the repository %q", t.identifier(), repo)
		switch {
		case len(tags) > 10:
			has += fmt.Sprintf(", but %d other tags", len(tags))
		case len(tags) > 0:
			has += ", but " + strings.Join(tags, ", ")
		}
	}
	return slipway.Errorf(slipway.NotFound, "The image %q was not found: this server's registry %s. Push or import it first.", t.text, has)
}

// complete returns h, or the image for the store's platform that h leads to,
// and whether the store has all of it. What it finds is protected while p.l
// lasts.
func (p *pull) complete(h v1.Hash) (v1.Hash, bool, error) {
	p.l.hold(blobKey(h))
	if ok, err := p.delivered(h); !ok || err != nil {
		return h, false, err
	}
	leaf, err := p.s.descend(p.t.text, h)
	if err != nil && slipway.CodeOf(err) == "" { // missing or unreadable: it is fetched again
		return leaf, false, nil
	}
	if err != nil {
		return leaf, false, err
	}
	p.l.hold(blobKey(leaf))
	if ok, err := p.delivered(leaf); !ok || err != nil {
		return leaf, false, err
	}
	m, err := p.s.readManifest(leaf)
	if err != nil && slipway.CodeOf(err) == "" {
		return leaf, false, nil
	}
	if err == nil {
		err = p.s.checkContainer(p.t.text, m)
	}
	if err != nil {
		return leaf, false, err
	}
	missing, err := p.missing(m)
	return leaf, len(missing) == 0, err
}

// delivered reports whether the registry that is pulled from has delivered a blob.
func (p *pull) delivered(h v1.Hash) (bool, error) {
	if p.host == "" {
		return true, nil
	}
	return p.s.delivered(p.host, h)
}

// have reports whether the store has a blob that the registry delivered.
func (p *pull) have(d v1.Descriptor) (bool, error) {
	if ok, err := p.s.intact(p.l, d); !ok || err != nil {
		return false, err
	}
	return p.delivered(d.Digest)
}

// missing returns the blobs of an image that the store lacks, or that the registry has
// not delivered, each once.
func (p *pull) missing(m *manifest) ([]v1.Descriptor, error) {
	var ds []v1.Descriptor
	seen := map[v1.Hash]bool{}
	for _, d := range m.descriptors() {
		if seen[d.Digest] {
			continue
		}
		seen[d.Digest] = true
		ok, err := p.have(d)
		if err != nil {
			return nil, err
		}
		if !ok {
			ds = append(ds, d)
		}
	}
	return ds, nil
}

// fromRegistry pulls from another registry. It returns the image's manifest
// and, if the reference names an index, the index's digest.
func (p *pull) fromRegistry(ctx context.Context) (v1.Hash, string, error) {
	src, err := p.s.source(p.t)
	if err != nil {
		return v1.Hash{}, "", err
	}
	p.host = p.t.host
	top, known, err := src.head(ctx)
	if err != nil {
		return v1.Hash{}, "", err
	}
	if known {
		h, complete, err := p.complete(top)
		if complete || err != nil {
			return h, indexOf(top, h), err
		}
	}
	want := p.t.identifier()
	if known {
		want = top.String() // pin it: the tag may be moved meanwhile
	}
	return p.fetch(ctx, src, want)
}

func indexOf(top, leaf v1.Hash) string {
	if top == leaf {
		return ""
	}
	return top.String()
}

// fetch downloads what is missing of an image, its manifest last: a manifest in
// the store means a complete image, unless blobs were damaged.
func (p *pull) fetch(ctx context.Context, src *source, want string) (v1.Hash, string, error) {
	index := ""
	for range maxNesting {
		raw, m, err := src.manifest(ctx, want)
		if err != nil {
			return v1.Hash{}, "", err
		}
		h := hashOf(raw)
		d := v1.Descriptor{Digest: h, Size: int64(len(raw))}
		if m.MediaType.IsIndex() {
			if index == "" {
				index = h.String()
			}
			child, err := pick(p.t.text, m, p.s.platform)
			if err != nil {
				return h, "", err
			}
			if err := p.s.receive(ctx, p.l, p.host, d, bytes.NewReader(raw)); err != nil {
				return h, "", err
			}
			want = child.Digest.String()
			continue
		}
		if err := p.content(ctx, src, m); err != nil {
			return h, "", err
		}
		return h, index, p.s.receive(ctx, p.l, p.host, d, bytes.NewReader(raw))
	}
	return v1.Hash{}, "", slipway.Errorf(slipway.InvalidRequest, "The image %q is an index in more than %d others.", p.t.text, maxNesting)
}

// content fetches an image's configuration, which may show that the image can't
// run here, and then its layers.
func (p *pull) content(ctx context.Context, src *source, m *manifest) error {
	if err := p.s.checkContainer(p.t.text, m); err != nil {
		return err
	}
	missing, err := p.missing(m)
	if err != nil {
		return err
	}
	if err := p.checkSpace(missing); err != nil {
		return err
	}
	p.begin(m, missing)
	for _, d := range missing {
		if d.Digest == m.Config.Digest {
			if err := p.get(ctx, src, d); err != nil {
				return err
			}
		}
	}
	if _, err := p.s.readConfig(p.t.text, m); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, d := range missing {
		if d.Digest != m.Config.Digest {
			g.Go(func() error { return p.get(ctx, src, d) })
		}
	}
	return g.Wait()
}

// checkSpace refuses a pull that the disk has no room for, before anything is
// fetched.
func (p *pull) checkSpace(missing []v1.Descriptor) error {
	var need int64
	for _, d := range missing {
		here, err := p.s.present(p.l, d)
		if err != nil {
			return err
		}
		if !here { // else it is only compared
			need += d.Size
		}
	}
	left, _, err := room.Left(p.s.dir)
	if err != nil || need == 0 || left >= need {
		return err
	}
	return slipway.Errorf(slipway.QuotaExceeded, "The server's disk is full: the image %q needs %s, but only %s are left in %s.", p.t.text, bytesText(need), bytesText(left), p.s.dir)
}

// get fetches one blob, or waits for another pull that is fetching it.
func (p *pull) get(ctx context.Context, src *source, d v1.Descriptor) error {
	var counted int64
	err := p.s.flights.do(ctx, blobKey(d.Digest)+" of "+p.host, func() error {
		if ok, err := p.have(d); ok || err != nil {
			return err
		}
		if err := p.s.downloads.Acquire(ctx, 1); err != nil {
			return context.Cause(ctx)
		}
		defer p.s.downloads.Release(1)
		return src.blob(ctx, p.l, d, func(n int64) { counted += n; p.count(n, 0) })
	})
	if err != nil {
		return err
	}
	done := 0
	if !d.MediaType.IsConfig() {
		done = 1
	}
	p.count(d.Size-counted, done)
	return nil
}

// begin sets the totals of the pull's progress.
func (p *pull) begin(m *manifest, missing []v1.Descriptor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.progress = Progress{Layers: len(m.Layers)}
	p.progress.LayersDone = len(m.Layers)
	for _, d := range missing {
		p.progress.Total += d.Size
		if !d.MediaType.IsConfig() {
			p.progress.LayersDone--
		}
	}
	p.reportNow()
}

// count adds to the progress and reports it at each layer and each MiB.
func (p *pull) count(n int64, layers int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.progress.Bytes += n
	p.progress.LayersDone += layers
	if layers > 0 || p.progress.Bytes-p.reported >= 1<<20 {
		p.reportNow()
	}
}

// reportNow reports the progress. The caller holds p.mu.
func (p *pull) reportNow() {
	p.reported = p.progress.Bytes
	if p.report != nil {
		p.report(p.progress)
	}
}
