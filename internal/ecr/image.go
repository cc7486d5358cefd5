package ecr

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/page"
)

// imageID names an image by digest, by tag, or by both.
type imageID struct {
	Digest *string `json:"imageDigest"`
	Tag    *string `json:"imageTag"`
}

// check returns the failure's code and reason for an invalid id.
func (id imageID) check() (code, reason string) {
	digest, tag := aws.ToString(id.Digest), aws.ToString(id.Tag)
	switch {
	case digest == "" && tag == "":
		return "MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null"
	case digest != "" && !image.IsDigest(digest):
		return "InvalidImageDigest", "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"
	case tag != "" && image.CheckTag(tag) != nil:
		return "InvalidImageTag", "Invalid request parameters: image tag should satisfy the regex '[a-zA-Z0-9-_+.]+'"
	}
	return "", ""
}

func (id imageID) matches(c image.Content) bool {
	return (id.Digest == nil || *id.Digest == c.Digest) && (id.Tag == nil || slices.Contains(c.Tags, *id.Tag))
}

// failure explains why an image of a batch was not processed.
type failure struct {
	ID     imageID `json:"imageId"`
	Code   string  `json:"failureCode"`
	Reason string  `json:"failureReason"`
}

func notFound(id imageID) failure {
	return failure{id, "ImageNotFound", "Requested image not found"}
}

// maxIDs is the maximum number of images in a call.
const maxIDs = 100

func checkIDs(ids []imageID) error {
	if len(ids) < 1 || len(ids) > maxIDs {
		return invalid("imageIds", "must have 1 to %d images", maxIDs)
	}
	return nil
}

// contents returns the repository of a call and its images.
func (e *ECR) contents(ctx context.Context, ref repositoryRef) (slipway.Repository, []image.Content, error) {
	r, err := e.read(ctx, ref)
	if err != nil {
		return r, nil, err
	}
	list, err := e.cfg.Images.Contents(r.Name)
	if errors.Is(err, image.ErrNotFound) {
		err = nil
	}
	return r, list, err
}

// filter selects images by whether they have tags: TAGGED, UNTAGGED or ANY.
type filter struct {
	TagStatus string `json:"tagStatus"`
}

func (f *filter) check() error {
	if f != nil && !slices.Contains([]string{"", "ANY", "TAGGED", "UNTAGGED"}, f.TagStatus) {
		return invalid("filter.tagStatus", "must be TAGGED, UNTAGGED or ANY")
	}
	return nil
}

func (f *filter) status() string {
	if f == nil {
		return "ANY"
	}
	return cmp.Or(f.TagStatus, "ANY")
}

func (f *filter) permits(c image.Content) bool {
	switch f.status() {
	case "TAGGED":
		return len(c.Tags) > 0
	case "UNTAGGED":
		return len(c.Tags) == 0
	}
	return true
}

type listImagesInput struct {
	repositoryRef
	Filter     *filter `json:"filter"`
	MaxResults *int32  `json:"maxResults"`
	NextToken  *string `json:"nextToken"`
}

type listImagesOutput struct {
	IDs       []imageID `json:"imageIds"`
	NextToken *string   `json:"nextToken"`
}

// listImages lists every tag with its image, and images without tags.
func (e *ECR) listImages(ctx context.Context, _ *gateway.Call, in *listImagesInput) (*listImagesOutput, error) {
	r, list, err := e.contents(ctx, in.repositoryRef)
	if err := errors.Join(err, in.Filter.check()); err != nil {
		return nil, err
	}
	p, key, err := pager(in.MaxResults, in.NextToken, 2, "ListImages", r.Name, in.Filter.status())
	if err != nil {
		return nil, err
	}
	out := &listImagesOutput{IDs: []imageID{}}
	for _, c := range list {
		if !in.Filter.permits(c) {
			continue
		}
		tags := c.Tags
		if len(tags) == 0 {
			tags = []string{""}
		}
		for _, tag := range tags {
			if cmp.Or(cmp.Compare(c.Digest, key[0]), cmp.Compare(tag, key[1])) > 0 {
				out.IDs = append(out.IDs, imageID{&c.Digest, some(tag)})
			}
		}
	}
	out.IDs, out.NextToken = page.Cut(p, out.IDs, func(id imageID) []string { return []string{*id.Digest, aws.ToString(id.Tag)} })
	return out, nil
}

type describeImagesInput struct {
	repositoryRef
	IDs        []imageID `json:"imageIds"` // all when absent
	Filter     *filter   `json:"filter"`
	MaxResults *int32    `json:"maxResults"`
	NextToken  *string   `json:"nextToken"`
}

type describeImagesOutput struct {
	Details   []imageDetail `json:"imageDetails"`
	NextToken *string       `json:"nextToken"`
}

type imageDetail struct {
	RegistryID   string    `json:"registryId"`
	Name         string    `json:"repositoryName"`
	Digest       string    `json:"imageDigest"`
	Tags         []string  `json:"imageTags"`
	Size         int64     `json:"imageSizeInBytes"`
	PushedAt     time.Time `json:"imagePushedAt"`
	MediaType    string    `json:"imageManifestMediaType"`
	ArtifactType *string   `json:"artifactMediaType"`
}

func (e *ECR) describeImages(ctx context.Context, _ *gateway.Call, in *describeImagesInput) (*describeImagesOutput, error) {
	r, list, err := e.contents(ctx, in.repositoryRef)
	if err := errors.Join(err, in.Filter.check()); err != nil {
		return nil, err
	}
	if len(in.IDs) > 0 {
		if in.MaxResults != nil || in.NextToken != nil || len(in.IDs) > maxIDs {
			return nil, invalid("imageIds", "must have at most %d images, without maxResults and nextToken", maxIDs)
		}
		if list, err = e.named(r.Name, list, in.IDs); err != nil {
			return nil, err
		}
	}
	p, key, err := pager(in.MaxResults, in.NextToken, 1, "DescribeImages", r.Name, in.Filter.status())
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(c image.Content) bool { return !in.Filter.permits(c) || c.Digest <= key[0] })
	out := &describeImagesOutput{Details: []imageDetail{}}
	list, out.NextToken = page.Cut(p, list, func(c image.Content) []string { return []string{c.Digest} })
	for _, c := range list {
		out.Details = append(out.Details, imageDetail{
			RegistryID: e.cfg.Account, Name: r.Name, Digest: c.Digest, Tags: c.Tags, Size: c.Size, PushedAt: c.PushedAt,
			MediaType: c.MediaType, ArtifactType: some(c.ArtifactType),
		})
	}
	return out, nil
}

// named returns the images of the ids without duplicates. A missing image is an
// ImageNotFoundException.
func (e *ECR) named(repo string, list []image.Content, ids []imageID) (named []image.Content, err error) {
	for _, id := range ids {
		if _, reason := id.check(); reason != "" {
			return nil, invalid("imageIds", "%s", reason)
		}
		i := slices.IndexFunc(list, id.matches)
		if i < 0 {
			return nil, exception("ImageNotFoundException", "The image with imageId {imageDigest:'%s', imageTag:'%s'} does not exist within the repository with name '%s' in the registry with id '%s'",
				cmp.Or(aws.ToString(id.Digest), "null"), cmp.Or(aws.ToString(id.Tag), "null"), repo, e.cfg.Account)
		}
		if !slices.ContainsFunc(named, func(c image.Content) bool { return c.Digest == list[i].Digest }) {
			named = append(named, list[i])
		}
	}
	return named, nil
}

type batchGetImageInput struct {
	repositoryRef
	IDs      []imageID `json:"imageIds"`
	Accepted []string  `json:"acceptedMediaTypes"`
}

type batchGetImageOutput struct {
	Images   []imageManifest `json:"images"`
	Failures []failure       `json:"failures"`
}

type imageManifest struct {
	RegistryID string  `json:"registryId"`
	Name       string  `json:"repositoryName"`
	ID         imageID `json:"imageId"`
	Manifest   string  `json:"imageManifest"`
	MediaType  string  `json:"imageManifestMediaType"`
}

// batchGetImage returns manifests in the type that was pushed, whatever the
// caller accepts. Only ECR translates to Docker's schema 1.
func (e *ECR) batchGetImage(ctx context.Context, _ *gateway.Call, in *batchGetImageInput) (*batchGetImageOutput, error) {
	r, err := e.read(ctx, in.repositoryRef)
	if err := errors.Join(err, checkIDs(in.IDs)); err != nil {
		return nil, err
	}
	out := &batchGetImageOutput{Images: []imageManifest{}, Failures: []failure{}}
	for _, id := range in.IDs {
		if code, reason := id.check(); code != "" {
			out.Failures = append(out.Failures, failure{id, code, reason})
			continue
		}
		m, err := e.cfg.Images.Manifest(r.Name, cmp.Or(aws.ToString(id.Tag), aws.ToString(id.Digest)))
		if errors.Is(err, image.ErrNotFound) || err == nil && id.Digest != nil && *id.Digest != m.Digest {
			out.Failures = append(out.Failures, notFound(id))
			continue
		}
		if err != nil {
			return nil, err
		}
		out.Images = append(out.Images, imageManifest{e.cfg.Account, r.Name, imageID{&m.Digest, id.Tag}, string(m.Body), m.MediaType})
	}
	return out, nil
}

type batchDeleteImageInput struct {
	repositoryRef
	IDs []imageID `json:"imageIds"`
}

type batchDeleteImageOutput struct {
	IDs      []imageID `json:"imageIds"`
	Failures []failure `json:"failures"`
}

// batchDeleteImage deletes images by digest with all of their tags, or single
// tags. An image is deleted with its last tag.
func (e *ECR) batchDeleteImage(ctx context.Context, _ *gateway.Call, in *batchDeleteImageInput) (*batchDeleteImageOutput, error) {
	r, list, err := e.contents(ctx, in.repositoryRef)
	if err := errors.Join(err, checkIDs(in.IDs)); err != nil {
		return nil, err
	}
	out := &batchDeleteImageOutput{IDs: []imageID{}, Failures: []failure{}}
	for _, id := range in.IDs {
		if code, reason := id.check(); code != "" {
			out.Failures = append(out.Failures, failure{id, code, reason})
			continue
		}
		i := slices.IndexFunc(list, id.matches)
		if i < 0 {
			out.Failures = append(out.Failures, notFound(id))
			continue
		}
		c := list[i]
		if id.Tag == nil && inIndex(list, c.Digest, in.IDs) {
			out.Failures = append(out.Failures, failure{id, "ImageReferencedByManifestList", "Requested image referenced by manifest list"})
			continue
		}
		if err := e.remove(r.Name, id, c); err != nil {
			return nil, err
		}
		deleted := []imageID{{&c.Digest, id.Tag}}
		if id.Tag == nil {
			for _, t := range c.Tags {
				deleted = append(deleted, imageID{&c.Digest, &t})
			}
			deleted = deleted[min(1, len(c.Tags)):]
		}
		out.IDs = append(out.IDs, deleted...)
	}
	return out, nil
}

func (e *ECR) remove(repo string, id imageID, c image.Content) error {
	var err error
	if id.Tag != nil {
		err = e.cfg.Images.Untag(repo, *id.Tag)
	} else {
		err = e.cfg.Images.DeleteManifest(repo, c.Digest)
	}
	if errors.Is(err, image.ErrNotFound) {
		return nil // another call deleted it
	}
	return err
}

// inIndex reports whether an index that is not among the ids holds the manifest.
func inIndex(list []image.Content, digest string, ids []imageID) bool {
	return slices.ContainsFunc(list, func(c image.Content) bool {
		goes := slices.ContainsFunc(ids, func(id imageID) bool { return aws.ToString(id.Digest) == c.Digest })
		return !goes && slices.Contains(c.Children, digest)
	})
}

type putImageInput struct {
	repositoryRef
	Manifest  *string `json:"imageManifest"`
	MediaType *string `json:"imageManifestMediaType"`
	Tag       *string `json:"imageTag"`
	Digest    *string `json:"imageDigest"`
}

type putImageOutput struct {
	Image imageManifest `json:"image"`
}

// putImage adds a manifest whose layers exist, or a tag to an existing manifest.
func (e *ECR) putImage(ctx context.Context, call *gateway.Call, in *putImageInput) (*putImageOutput, error) {
	r, list, err := e.contents(ctx, in.repositoryRef)
	if err != nil {
		return nil, err
	}
	if aws.ToString(in.Manifest) == "" {
		return nil, invalid("imageManifest", "must not be empty")
	}
	body := []byte(*in.Manifest)
	digest := image.DigestOf(body)
	if in.Digest != nil && *in.Digest != digest {
		return nil, exception("ImageDigestDoesNotMatchException", "The image manifest's digest is %s, not %s", digest, *in.Digest)
	}
	there := slices.IndexFunc(list, func(c image.Content) bool { return c.Digest == digest })
	if there >= 0 && (in.Tag == nil || slices.Contains(list[there].Tags, *in.Tag)) {
		return nil, exception("ImageAlreadyExistsException", "Image with digest '%s' and tag '%s' already exists in the repository with name '%s' in registry with id '%s'",
			digest, cmp.Or(aws.ToString(in.Tag), "null"), r.Name, e.cfg.Account)
	}
	m, err := e.cfg.Images.PutManifest(ctx, r.Name, cmp.Or(aws.ToString(in.Tag), digest), aws.ToString(in.MediaType), body)
	switch {
	case errors.Is(err, image.ErrImmutable):
		return nil, exception("ImageTagAlreadyExistsException", "The image tag '%s' already exists in the '%s' repository and cannot be overwritten because the tag is immutable.", aws.ToString(in.Tag), r.Name)
	case errors.Is(err, image.ErrNotFound):
		return nil, exception("LayersNotFoundException", "The manifest refers to what is not in the registry: %v", err)
	case err != nil:
		return nil, err
	}
	if in.Tag != nil && e.cfg.Pushed != nil {
		// Pushed may start deployments: write the audit record first.
		if err := call.Record(ctx); err != nil {
			return nil, err
		}
		if err := e.cfg.Pushed(ctx, r.Name, *in.Tag, m.Digest); err != nil {
			return nil, err
		}
	}
	return &putImageOutput{imageManifest{e.cfg.Account, r.Name, imageID{&m.Digest, in.Tag}, *in.Manifest, m.MediaType}}, nil
}

type batchCheckLayerAvailabilityInput struct {
	repositoryRef
	Digests []string `json:"layerDigests"`
}

type batchCheckLayerAvailabilityOutput struct {
	Layers   []layer        `json:"layers"`
	Failures []layerFailure `json:"failures"`
}

type layer struct {
	Digest       string `json:"layerDigest"`
	Availability string `json:"layerAvailability"`
	Size         *int64 `json:"layerSize"`
}

type layerFailure struct {
	Digest string `json:"layerDigest"`
	Code   string `json:"failureCode"`
	Reason string `json:"failureReason"`
}

func (e *ECR) batchCheckLayerAvailability(ctx context.Context, _ *gateway.Call, in *batchCheckLayerAvailabilityInput) (*batchCheckLayerAvailabilityOutput, error) {
	r, err := e.read(ctx, in.repositoryRef)
	if err != nil {
		return nil, err
	}
	if len(in.Digests) < 1 || len(in.Digests) > maxIDs {
		return nil, invalid("layerDigests", "must have 1 to %d digests", maxIDs)
	}
	out := &batchCheckLayerAvailabilityOutput{Layers: []layer{}, Failures: []layerFailure{}}
	for _, d := range in.Digests {
		if !image.IsDigest(d) {
			out.Failures = append(out.Failures, layerFailure{d, "InvalidLayerDigest", "Invalid request parameters: layer digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"})
			continue
		}
		size, err := e.cfg.Images.RepositoryBlobSize(r.Name, d)
		switch {
		case errors.Is(err, image.ErrNotFound):
			out.Layers = append(out.Layers, layer{Digest: d, Availability: "UNAVAILABLE"})
		case err != nil:
			return nil, err
		default:
			out.Layers = append(out.Layers, layer{Digest: d, Availability: "AVAILABLE", Size: &size})
		}
	}
	return out, nil
}
