// Package source turns what a service is made from into something that can
// run: an image reference into an image in the local store, pinned by digest
// and unpacked.
//
// It builds nothing and starts nothing. Its caller is the resolve step of
// internal/deploy.
package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/image"
)

// Artifact is a source made ready to run.
type Artifact struct {
	Digest string // manifest digest in the local image store
	Ref    string // as the user wrote it
	Config image.RunConfig
}

// Resolver resolves sources with a local image store.
type Resolver struct{ Images *image.Store }

// progressEvery is the least time between two lines about one download.
const progressEvery = 2 * time.Second

// Resolve brings the source's image here, unpacks it and returns its digest.
// It may take minutes; progress is told how far it is, in lines for people.
// Repeating it fetches only what is missing. Errors that the user can mend are
// *slipway.Error.
func (r Resolver) Resolve(ctx context.Context, s types.SourceConfiguration, progress func(line string)) (Artifact, error) {
	if s.ImageRepository == nil {
		return Artifact{}, slipway.Errorf(slipway.InvalidRequest,
			"SourceConfiguration has no ImageRepository; this server deploys images only.")
	}
	ref := aws.ToString(s.ImageRepository.ImageIdentifier)
	img, err := r.Images.Pull(ctx, ref, throttled(progress))
	if err != nil {
		return Artifact{}, worded("pull "+ref, err)
	}
	// Unpacked here, so that what is wrong with a layer fails the deployment
	// with its reason, and starting an instance never waits for a disk.
	layers, err := r.Images.Layers(ctx, img.Digest)
	if err != nil {
		return Artifact{}, worded("unpack "+ref, err)
	}
	if len(layers) == 0 {
		return Artifact{}, slipway.Errorf(slipway.InvalidRequest, "The image %s has no layers: there is nothing in it to run.", ref)
	}
	return Artifact{Digest: img.Digest, Ref: ref, Config: img.Config}, nil
}

// worded says what was being done, unless err already speaks to the user. What
// may be gone at another try loses its code: it is not the user's mistake.
func worded(doing string, err error) error {
	if errors.Is(err, image.ErrUnavailable) {
		return errors.New(err.Error())
	}
	if slipway.CodeOf(err) != "" {
		return err
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// throttled makes lines of a pull's progress, one now and then.
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
