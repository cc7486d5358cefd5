package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/openslipway/slipway/internal/cli/imagefile"
)

// Registry is the server's image registry.
type Registry struct {
	host     string
	insecure bool // plain HTTP
	keys     aws.CredentialsProvider
	base     http.RoundTripper
}

func newRegistry(t Target, id Identity) *Registry {
	return &Registry{host: t.Endpoint.Host, insecure: t.Endpoint.Scheme == "http", keys: id.Provider, base: t.transport()}
}

// Image is a tagged image in the registry.
type Image struct {
	Repository string
	Tag        string
	Digest     string
	Size       int64     // stored bytes of its layers, of all its platforms
	CreatedAt  time.Time // in its config; zero if it is missing, or 1970 as in reproducible builds
}

// Push uploads an image as repository:tag and returns its digest. It calls
// progress, if not nil, from another goroutine with the bytes sent and the total.
// The last call is before Push returns.
func (r *Registry) Push(ctx context.Context, img *imagefile.Image, repository, tag string, progress func(done, total int64)) (string, error) {
	ref, err := name.NewTag(r.host+"/"+repository+":"+tag, r.nameOptions()...)
	if err != nil {
		return "", &Problem{Misuse: true, Text: fmt.Sprintf("%q is not an image name", repository+":"+tag), Hint: nameHint, Err: err}
	}
	options, err := r.options(ctx)
	if err != nil {
		return "", err
	}
	updates, written, done := make(chan v1.Update, 16), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		relay(updates, written, progress)
	}()
	err = write(ref, img, append(options, remote.WithProgress(updates)))
	close(written)
	<-done
	if err != nil {
		return "", fmt.Errorf("push %s: %w", ref, err)
	}
	return img.Digest, nil
}

// relay passes on updates until the channel is closed or everything is written:
// the registry client does not always close the channel.
func relay(updates <-chan v1.Update, written <-chan struct{}, progress func(done, total int64)) {
	for {
		select {
		case u, ok := <-updates:
			if !ok {
				return
			}
			if progress != nil && u.Error == nil {
				progress(u.Complete, u.Total)
			}
		case <-written:
			return
		}
	}
}

const nameHint = "Repository names are lower-case letters, digits and . _ - between slashes; tags may have upper case too."

func write(ref name.Reference, img *imagefile.Image, options []remote.Option) error {
	if img.Index != nil {
		return remote.WriteIndex(ref, img.Index, options...)
	}
	return remote.Write(ref, img.Single, options...)
}

// ecrHost is the host of a private ECR registry, which stands for this one.
var ecrHost = regexp.MustCompile(`^[0-9]{12}\.dkr[.-]ecr(?:-fips)?\.[a-z0-9-]+\.(?:amazonaws\.com(?:\.cn)?|on\.aws)$`)

// Own returns an image's name in this registry; elsewhere says that the name has the
// host of another registry. Only what comes before the first slash is a host, if it has
// a dot or a port or is "localhost".
func (r *Registry) Own(image string) (own string, elsewhere bool) {
	host, rest, ok := strings.Cut(image, "/")
	switch {
	case !ok || !strings.ContainsAny(host, ".:") && host != "localhost":
		return image, false
	case host == r.host || ecrHost.MatchString(host):
		return rest, false
	}
	return "", true
}

// Digest returns the digest of an image by its name in this registry
// ("repository", "repository:tag" or "repository@sha256:..."), or "" if it does
// not exist.
func (r *Registry) Digest(ctx context.Context, image string) (string, error) {
	ref, err := name.ParseReference(r.host+"/"+image, r.nameOptions()...)
	if err != nil {
		return "", nil // it may be a name in another registry
	}
	options, err := r.options(ctx)
	if err != nil {
		return "", err
	}
	desc, err := remote.Head(ref, options...)
	if missing(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for %s: %w", ref, err)
	}
	return desc.Digest.String(), nil
}

// Config returns the config of an image in this registry; of several platforms,
// this machine's.
func (r *Registry) Config(ctx context.Context, image string) (*v1.ConfigFile, error) {
	ref, err := name.ParseReference(r.host+"/"+image, r.nameOptions()...)
	if err != nil {
		return nil, fmt.Errorf("image %q: %w", image, err)
	}
	options, err := r.options(ctx)
	if err != nil {
		return nil, err
	}
	options = append(options, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
	img, err := remote.Image(ref, options...)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", ref, err)
	}
	return img.ConfigFile()
}

// Images returns all tagged images, by repository and tag.
func (r *Registry) Images(ctx context.Context) ([]Image, error) {
	host, err := name.NewRegistry(r.host, r.nameOptions()...)
	if err != nil {
		return nil, fmt.Errorf("registry %s: %w", r.host, err)
	}
	options, err := r.options(ctx)
	if err != nil {
		return nil, err
	}
	repositories, err := remote.Catalog(ctx, host, options...)
	if err != nil {
		return nil, fmt.Errorf("list repositories: %w", err)
	}
	slices.Sort(repositories)
	var all []Image
	for _, repository := range repositories {
		images, err := r.tagged(host.Repo(repository), options)
		if err != nil {
			return nil, err
		}
		all = append(all, images...)
	}
	return all, nil
}

func (r *Registry) tagged(repository name.Repository, options []remote.Option) ([]Image, error) {
	tags, err := remote.List(repository, options...)
	if missing(err) { // deleted since it was listed
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list tags of %s: %w", repository, err)
	}
	slices.Sort(tags)
	var images []Image
	for _, tag := range tags {
		desc, err := remote.Get(repository.Tag(tag), options...)
		if missing(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s:%s: %w", repository, tag, err)
		}
		image := Image{Repository: repository.RepositoryStr(), Tag: tag, Digest: desc.Digest.String()}
		if err := measure(desc, &image); err != nil {
			return nil, fmt.Errorf("read %s:%s: %w", repository, tag, err)
		}
		images = append(images, image)
	}
	return images, nil
}

// measure sets an image's size and age.
func measure(desc *remote.Descriptor, image *Image) error {
	if !desc.MediaType.IsIndex() {
		img, err := desc.Image()
		if err != nil {
			return err
		}
		return addImage(img, image)
	}
	index, err := desc.ImageIndex()
	if err != nil {
		return err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, m := range manifest.Manifests {
		if !m.MediaType.IsImage() {
			continue
		}
		img, err := index.Image(m.Digest)
		if err != nil {
			return err
		}
		if err := addImage(img, image); err != nil {
			return err
		}
	}
	return nil
}

func addImage(img v1.Image, to *Image) error {
	manifest, err := img.Manifest()
	if err != nil {
		return err
	}
	for _, layer := range manifest.Layers {
		to.Size += layer.Size
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return err
	}
	if cfg.Created.Unix() > 0 && cfg.Created.After(to.CreatedAt) {
		to.CreatedAt = cfg.Created.Time
	}
	return nil
}

func (r *Registry) nameOptions() []name.Option {
	if r.insecure {
		return []name.Option{name.Insecure}
	}
	return nil
}

func (r *Registry) options(ctx context.Context) ([]remote.Option, error) {
	keys, err := r.keys.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	return []remote.Option{
		remote.WithContext(ctx),
		remote.WithAuth(&authn.Basic{Username: keys.AccessKeyID, Password: keys.SecretAccessKey}),
		remote.WithUserAgent("slipway"),
		remote.WithTransport(r.base),
	}, nil
}

// missing reports whether err is a registry's reply that something does not exist.
func missing(err error) bool {
	e, ok := errors.AsType[*transport.Error](err)
	return ok && e.StatusCode == http.StatusNotFound
}

// SplitName splits repository[:tag]. The default tag is "latest".
func SplitName(image string) (repository, tag string) {
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		return image[:i], image[i+1:]
	}
	return image, "latest"
}
