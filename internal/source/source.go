// Package source resolves what a service is deployed from: it pulls the image
// that a specification refers to into the local image store, unpacks it and
// returns its digest.
//
// It does not build images and starts nothing. The resolve step of
// internal/deploy calls it.
package source

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/image"
)

// Artifact is a resolved source: an image that instances can be started from.
type Artifact struct {
	Digest string // manifest digest in the local image store
	Ref    string // as the user wrote it
	Config image.RunConfig
}

// HasShell reports whether a shell of the image can run a start command. Of images that
// were not built here it is not known, and assumed.
func (a Artifact) HasShell() bool { return a.Config.Labels[image.LabelShell] != image.NoShell }

// Resolver resolves sources with a local image store.
type Resolver struct{ Images *image.Store }

// progressEvery is the minimum time between two progress lines of one pull.
const progressEvery = 2 * time.Second

// Resolve pulls the source's image, unpacks it and returns its digest. It may
// take minutes and reports progress in lines for people. It is idempotent and
// fetches only what is missing. It returns a *slipway.Error for what the user can
// fix.
func (r Resolver) Resolve(ctx context.Context, s types.SourceConfiguration, progress func(line string)) (Artifact, error) {
	if s.ImageRepository == nil {
		return Artifact{}, slipway.Errorf(slipway.InvalidRequest,
			"SourceConfiguration has no ImageRepository; this server deploys images only.")
	}
	ref := aws.ToString(s.ImageRepository.ImageIdentifier)
	progress = oneAtATime(progress)
	img, err := r.Images.Pull(image.WithNotices(ctx, once(progress)), ref, throttled(progress))
	if err != nil {
		return Artifact{}, wrap("pull "+ref, err)
	}
	// Unpack now: a broken layer fails the deployment with its reason, and the
	// start of an instance does not wait for the disk.
	layers, err := r.Images.Layers(ctx, img.Digest)
	if err != nil {
		return Artifact{}, wrap("unpack "+ref, err)
	}
	if left, err := r.Images.LeftOut(layers); err != nil {
		return Artifact{}, wrap("read "+ref, err)
	} else if left != "" {
		progress(left)
	}
	if len(layers) == 0 {
		return Artifact{}, slipway.Errorf(slipway.InvalidRequest, "The image %s has no layers: there is nothing in it to run.", ref)
	}
	return Artifact{Digest: img.Digest, Ref: ref, Config: img.Config}, nil
}

// wrap adds what was being done to err, unless err already is a *slipway.Error.
// An error that a retry may fix loses its code, as the user cannot fix it.
func wrap(doing string, err error) error {
	if errors.Is(err, image.ErrUnavailable) {
		return errors.New(err.Error())
	}
	if slipway.CodeOf(err) != "" {
		return err
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// oneAtATime serializes the calls of a function.
func oneAtATime(progress func(string)) func(string) {
	var mu sync.Mutex // held during a call
	return func(line string) {
		mu.Lock()
		defer mu.Unlock()
		progress(line)
	}
}

// once leaves out lines that were said before: each layer waits for the same registry.
func once(progress func(string)) func(string) {
	var said sync.Map
	return func(line string) {
		if _, again := said.LoadOrStore(line, true); !again {
			progress(line)
		}
	}
}

// throttled reports a pull's progress as lines, at most one per progressEvery.
func throttled(progress func(string)) func(image.Progress) {
	last := time.Now()
	return func(p image.Progress) {
		if p.Total == 0 || time.Since(last) < progressEvery {
			return
		}
		last = time.Now()
		progress(fmt.Sprintf("Pulled %d of %d MB, %d of %d layers.", p.Bytes>>20, p.Total>>20, p.LayersDone, p.Layers))
	}
}

// Unavailable reports whether an error of a registry may pass by itself: it could not
// be reached, or asks for fewer requests.
func Unavailable(err error) bool { return errors.Is(err, image.ErrUnavailable) }
