package deploy

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/loop"
	"github.com/openslipway/slipway/internal/source"
	"github.com/openslipway/slipway/internal/store"
)

// Registries asks registries about images. *image.Store does.
type Registries interface {
	// Elsewhere returns the registry that has the newest image of a reference; false
	// for this server's own, and for images that never change.
	Elsewhere(ref string) (registry string, ok bool)

	// Newest asks the registry what a tag is at: the digest of the tag, and that of
	// the image that it means for this server.
	Newest(ctx context.Context, ref string) (tag, image string, err error)
}

// ImagePollConfig says how images of other registries are polled.
type ImagePollConfig struct {
	Images Registries
	Every  time.Duration // between two questions about one image; 5 minutes when 0
	Log    *slog.Logger
	Loops  *loop.Set // keeps the loop's status; may be nil
}

const imagePass = 10 * time.Second // most between two looks for images that are due

// ImagePoll starts automatic deployments of images of other registries: it asks what
// the tags of services with AutoDeploymentsEnabled are at. App Runner does this for
// images of ECR in the same account only, which it is told about; pushes to this
// server's registry are Auto's.
//
// An image is asked about once for all services that run it, and the images of one
// registry one after another. A registry that does not answer is not
// asked for a while that grows. Each digest is deployed by itself once at most.
type ImagePoll struct {
	plans *Plans
	cfg   ImagePollConfig
	all   sync.WaitGroup

	mu         sync.Mutex
	images     map[string]*polledImage // by reference
	registries map[string]*polledRegistry
}

type polledImage struct {
	due      time.Time
	failures int
}

type polledRegistry struct {
	asking   bool
	until    time.Time // it is not asked before
	failures int
}

// NewImagePoll returns an ImagePoll for the plans.
func (p *Plans) NewImagePoll(cfg ImagePollConfig) *ImagePoll {
	if cfg.Every <= 0 {
		cfg.Every = 5 * time.Minute
	}
	return &ImagePoll{
		plans: p, cfg: cfg, images: map[string]*polledImage{}, registries: map[string]*polledRegistry{},
	}
}

// Run polls until ctx ends.
func (l *ImagePoll) Run(ctx context.Context) error {
	defer l.all.Wait()
	watch := l.plans.cfg.Store.Watch(store.Operations) // a resume is seen at once
	defer watch.Close()
	services := &polledServices{store: l.plans.cfg.Store, watch: watch, polls: func(v slipway.ServiceView) bool {
		_, _, ok := l.follows(v)
		return ok
	}}
	return loop.Run(ctx, loop.Config{
		Name: "image-polling", Log: l.cfg.Log, Set: l.cfg.Loops, Watch: watch.C, First: min(imagePass, l.cfg.Every), Every: min(imagePass, l.cfg.Every),
	}, func(ctx context.Context) error { return l.pass(ctx, services) })
}

// imageQuestion is one to ask about an image, for all of its services.
type imageQuestion struct {
	ref      string
	services []string // ids
}

// pass starts the questions about the images that are due.
func (l *ImagePoll) pass(ctx context.Context, services *polledServices) error {
	list, err := services.read(ctx)
	if err != nil {
		return err
	}
	for registry, questions := range l.due(list, time.Now()) {
		l.all.Go(func() {
			for _, q := range questions {
				ctx, cancel := context.WithTimeout(ctx, pollTimeout)
				err := l.ask(ctx, q)
				cancel()
				if l.reschedule(registry, q, err) {
					break
				}
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			l.registries[registry].asking = false
		})
	}
	return nil
}

// due returns the questions to ask now, by registry.
func (l *ImagePoll) due(services []slipway.ServiceView, now time.Time) map[string][]*imageQuestion {
	l.mu.Lock()
	defer l.mu.Unlock()
	images, all := map[string]*polledImage{}, map[string]*imageQuestion{}
	registryOf := map[string]string{}
	for _, v := range services {
		ref, registry, ok := l.follows(v)
		if !ok {
			continue
		}
		p := l.images[ref]
		if p == nil {
			p = &polledImage{due: now.Add(rand.N(l.cfg.Every))}
		}
		images[ref], registryOf[ref] = p, registry
		if isPaused(v) {
			p.due = now // once it has resumed
		}
		if isPaused(v) || v.Live != nil || !runs(v) {
			continue
		}
		q := all[ref]
		if q == nil {
			q = &imageQuestion{ref: ref}
			all[ref] = q
		}
		q.services = append(q.services, v.ID)
	}
	l.images = images
	questions := map[string][]*imageQuestion{}
	for ref, q := range all {
		r := l.registries[registryOf[ref]]
		if r == nil {
			r = &polledRegistry{}
			l.registries[registryOf[ref]] = r
		}
		if !r.asking && !now.Before(r.until) && !now.Before(images[ref].due) {
			questions[registryOf[ref]] = append(questions[registryOf[ref]], q)
		}
	}
	for registry := range questions {
		l.registries[registry].asking = true
	}
	return questions
}

// follows returns the image of a service that is deployed when it changes.
func (l *ImagePoll) follows(v slipway.ServiceView) (ref, registry string, ok bool) {
	ref = source.ImageIdentifier(v.Spec.Source)
	if ref == "" || !aws.ToBool(v.Spec.Source.AutoDeploymentsEnabled) || v.ActiveRelease == "" {
		return "", "", false
	}
	registry, ok = l.cfg.Images.Elsewhere(ref)
	return ref, registry, ok
}

// ask finds out what an image's tag is at and has it deployed where it is another
// image.
func (l *ImagePoll) ask(ctx context.Context, q *imageQuestion) error {
	tag, image, err := l.cfg.Images.Newest(ctx, q.ref)
	if err != nil {
		return err
	}
	for _, id := range q.services {
		if err := l.plans.cfg.Store.Update(ctx, func(tx *store.Tx) error { return l.record(tx, q, id, tag, image) }); err != nil {
			return err
		}
	}
	return nil
}

// record records that a service is to be deployed, unless it runs the image or the
// tag's digest was deployed by itself before.
func (l *ImagePoll) record(tx *store.Tx, q *imageQuestion, id, tag, image string) error {
	v, err := tx.Service(id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil || v.Live != nil || v.Status != slipway.StatusRunning || source.ImageIdentifier(v.Spec.Source) != q.ref {
		return err // it is asked about again
	}
	passed, err := tx.PassedCommit(id, q.ref)
	if err != nil && !errors.Is(err, store.ErrNotFound) || passed == tag {
		return err
	}
	if err := tx.PutPassedCommit(id, q.ref, tag); err != nil {
		return err
	}
	release, err := tx.Release(v.ActiveRelease)
	if err != nil || release.Image == image || !aws.ToBool(v.Spec.Source.AutoDeploymentsEnabled) {
		return err
	}
	l.cfg.Log.Info("new image", "service", id, "image", q.ref, "digest", tag)
	return tx.PutPendingDeployment(id, time.Now())
}

// reschedule decides when to ask about an image again, and whether to stop
// asking its registry for a while.
func (l *ImagePoll) reschedule(registry string, q *imageQuestion, err error) (stop bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.registries[registry]
	p := l.images[q.ref]
	if p == nil {
		return false
	}
	pause := l.cfg.Every
	switch {
	case err == nil:
		p.failures, r.failures = 0, 0
	case source.Unavailable(err):
		r.failures++
		pause = backOff(l.cfg.Every, r.failures)
		r.until = time.Now().Add(pause - pause/5)
	default:
		p.failures++
		pause = backOff(l.cfg.Every, p.failures)
	}
	if err != nil {
		l.cfg.Log.Warn("cannot poll an image", "image", q.ref, "next", pause, "err", err)
	}
	p.due = time.Now().Add(spread(pause))
	return source.Unavailable(err)
}
