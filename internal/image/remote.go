package image

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	rtransport "github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/outbound"
)

// tries is how often a download is started in all.
const tries = 3

var errStalled = errors.New("nothing was received for a minute")

// source is a repository of another registry, for one pull.
type source struct {
	s      *Store
	t      target
	repo   name.Repository
	puller *remote.Puller
}

func (s *Store) source(t target) (*source, error) {
	var opts []name.Option
	if s.mayBePlain(t.host) {
		opts = append(opts, name.Insecure)
	}
	repo, err := name.NewRepository(t.host+"/"+t.repo, opts...)
	if err != nil {
		return nil, slipway.Errorf(slipway.InvalidRequest, "%q is not the name of an image: %v.", t.text, err)
	}
	p, err := remote.NewPuller(
		remote.WithTransport(s.client),
		remote.WithAuthFromKeychain(keychain{s}),
		remote.WithUserAgent("slipway"),
		remote.WithJobs(s.limits.Downloads),
	)
	if err != nil {
		return nil, fmt.Errorf("make registry client: %w", err)
	}
	return &source{s, t, repo, p}, nil
}

// head returns the digest that the registry has for the reference now, false if
// the registry does not say so without sending the manifest.
func (c *source) head(ctx context.Context) (v1.Hash, bool, error) {
	if c.t.digest != "" {
		h, err := parseDigest(c.t.digest)
		return h, true, err
	}
	d, err := c.puller.Head(ctx, c.repo.Tag(c.t.tag))
	if err == nil {
		return d.Digest, d.Digest.Algorithm == "sha256", nil
	}
	te, refused := errors.AsType[*rtransport.Error](err)
	if ctx.Err() != nil || isNetwork(err) || refused && te.Temporary() {
		return v1.Hash{}, false, c.explain(ctx, err)
	}
	// The full request will work, or its answer will say why not.
	return v1.Hash{}, false, nil
}

// manifest fetches a manifest by tag or digest.
func (c *source) manifest(ctx context.Context, identifier string) ([]byte, *manifest, error) {
	var ref name.Reference = c.repo.Tag(identifier)
	if strings.Contains(identifier, ":") {
		ref = c.repo.Digest(identifier)
	}
	d, err := c.puller.Get(ctx, ref)
	if err != nil {
		return nil, nil, c.explain(ctx, err)
	}
	if len(d.Manifest) > MaxManifest {
		return nil, nil, slipway.Errorf(slipway.InvalidRequest, "The image %q has a manifest larger than the %d bytes allowed.", c.t.text, MaxManifest)
	}
	mediaType, _, _ := strings.Cut(string(d.MediaType), ";")
	m, err := parseManifest(d.Manifest, lenient(mediaType))
	if err != nil {
		return nil, nil, slipway.Errorf(slipway.InvalidRequest, "%q cannot be used as an image. %v", c.t.text, err)
	}
	return d.Manifest, m, nil
}

// lenient ignores content types that carry no information: some static file
// servers serve every manifest as JSON.
func lenient(mediaType string) types.MediaType {
	mt := types.MediaType(strings.TrimSpace(mediaType))
	if mt.IsImage() || mt.IsIndex() || mt.IsSchema1() {
		return mt
	}
	return ""
}

// blob fetches a blob into the store. A download that breaks off is started
// again.
func (c *source) blob(ctx context.Context, l *lease, d v1.Descriptor, count func(int64)) error {
	for try := 1; ; try++ {
		var got int64
		err := c.download(ctx, l, d, func(n int64) { got += n; count(n) })
		if err == nil || ctx.Err() != nil || try == tries || !retryable(err) {
			return c.explain(ctx, err)
		}
		count(-got)
		c.s.log.Warn("a download broke off and is started again", "ref", c.t.text, "blob", d.Digest.String(), "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(try) * 500 * time.Millisecond):
		}
	}
}

func (c *source) download(ctx context.Context, l *lease, d v1.Descriptor, count func(int64)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	layer, err := c.puller.Layer(ctx, c.repo.Digest(d.Digest.String()))
	if err != nil {
		return err
	}
	body, err := layer.Compressed()
	if err != nil {
		return err
	}
	defer body.Close()
	stall := newStallReader(body, func() { cancel(errStalled) })
	defer stall.timer.Stop()
	defer time.AfterFunc(downloadLimit(d.Size), func() { cancel(errStalled) }).Stop()
	err = c.s.receive(ctx, l, c.t.host, d, &countReader{stall, count})
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errStalled) {
		return &bodyError{cause}
	}
	return err
}

// retryable reports whether a retry may resolve a download's error.
func retryable(err error) bool {
	if _, forbidden := errors.AsType[*outbound.ForbiddenError](err); forbidden {
		return false
	}
	if te, ok := errors.AsType[*rtransport.Error](err); ok {
		return te.Temporary()
	}
	return isNetwork(err)
}

// isNetwork reports whether err is about connecting to a registry or reading
// its answer.
func isNetwork(err error) bool {
	_, request := errors.AsType[*url.Error](err)
	_, network := errors.AsType[*net.OpError](err)
	_, body := errors.AsType[*bodyError](err)
	return request || network || body
}

// because says why a registry could not be reached or its answer not be read.
func because(err error) string {
	if body, ok := errors.AsType[*bodyError](err); ok {
		return "the download broke off: " + outbound.Reason(body.err)
	}
	return outbound.Reason(err)
}

// bodyError is an error of reading a download's body: it broke off, or its
// digest is wrong.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return "the download broke off: " + e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

type countReader struct {
	r     io.Reader
	count func(int64)
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.count(int64(n))
	if err != nil && err != io.EOF {
		err = &bodyError{err}
	}
	return n, err
}

// explain turns a registry's refusal or failure into a message that the user
// can act on.
func (c *source) explain(ctx context.Context, err error) error {
	if err == nil || slipway.CodeOf(err) != "" {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("pull %s: %w", c.t.text, context.Cause(ctx))
	}
	if forbidden, ok := errors.AsType[*outbound.ForbiddenError](err); ok {
		return fail(err, slipway.InvalidRequest, "The image %q cannot be pulled: %v.", c.t.text, forbidden)
	}
	if te, ok := errors.AsType[*rtransport.Error](err); ok {
		return c.explainAnswer(te)
	}
	if ce, ok := errors.AsType[*credentialError](err); ok {
		return fail(err, slipway.InvalidRequest, "The image %q cannot be pulled: the server's Docker configuration file gives no usable credentials for %s: %v.", c.t.text, ce.host, ce.err)
	}
	if needsPlainHTTP(err) {
		return fail(err, slipway.InvalidRequest, "The image %q cannot be pulled: the registry %s does not speak HTTPS, or redirects to a host that does not. List it among the insecure registries if that is intended.", c.t.text, c.t.host)
	}
	if isCertificate(err) {
		return fail(err, slipway.InvalidRequest, "The image %q cannot be pulled: the certificate of the registry %s is not trusted: %s.", c.t.text, c.t.host, outbound.Reason(err))
	}
	if isNetwork(err) {
		return fail(errors.Join(ErrUnavailable, err), slipway.InvalidRequest, "The image %q cannot be pulled: the registry %s cannot be reached: %s.", c.t.text, c.t.host, because(err))
	}
	if _, ours := errors.AsType[*fs.PathError](err); ours {
		return fmt.Errorf("pull %s: %w", c.t.text, err)
	}
	return fail(err, slipway.InvalidRequest, "The image %q cannot be pulled: the registry %s sent an answer that cannot be used: %s.", c.t.text, c.t.host, outbound.Reason(err))
}

// needsPlainHTTP reports whether a registry, or what it redirects to, only
// works without TLS. The client library also tries plain HTTP at a private
// address that does not answer at all.
func needsPlainHTTP(err error) bool {
	if oe, ok := errors.AsType[*net.OpError](err); ok && oe.Op == "dial" {
		return false
	}
	_, refused := errors.AsType[*plainHTTPError](err)
	return refused || errors.Is(err, http.ErrSchemeMismatch)
}

func isCertificate(err error) bool {
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	_, host := errors.AsType[x509.HostnameError](err)
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	return invalid || host || unknown
}

// explainAnswer is explain for an answer with an error status.
func (c *source) explainAnswer(te *rtransport.Error) error {
	where := c.t.host + "/" + c.t.repo
	switch {
	case te.StatusCode == http.StatusNotFound:
		return fail(te, slipway.NotFound, "The image %q was not found: the registry %s has no %s:%s.", c.t.text, c.t.host, c.t.repo, c.t.identifier())
	case te.StatusCode == http.StatusUnauthorized, te.StatusCode == http.StatusForbidden:
		return fail(te, slipway.InvalidRequest, "The image %q cannot be pulled: the registry %s does not permit it. Either %s does not exist, or credentials are needed: run docker login %s as the server's user, or give them in its configuration.", c.t.text, c.t.host, where, c.t.host)
	case te.StatusCode == http.StatusTooManyRequests:
		return fail(errors.Join(ErrUnavailable, te), slipway.InvalidRequest, "The image %q cannot be pulled: the registry %s limits how much may be pulled. Try later, or log in to it.", c.t.text, c.t.host)
	case te.StatusCode >= 500:
		return fail(errors.Join(ErrUnavailable, te), slipway.InvalidRequest, "The image %q cannot be pulled: the registry %s is failing: %s.", c.t.text, c.t.host, diagnosis(te))
	}
	return fail(te, slipway.InvalidRequest, "The image %q cannot be pulled: the registry %s refused: %s.", c.t.text, c.t.host, diagnosis(te))
}

// known are the codes of errors that the protocol of registries has.
var known = []rtransport.ErrorCode{
	rtransport.BlobUnknownErrorCode, rtransport.BlobUploadInvalidErrorCode, rtransport.BlobUploadUnknownErrorCode, rtransport.DigestInvalidErrorCode,
	rtransport.ManifestBlobUnknownErrorCode, rtransport.ManifestInvalidErrorCode, rtransport.ManifestUnknownErrorCode, rtransport.ManifestUnverifiedErrorCode,
	rtransport.NameInvalidErrorCode, rtransport.NameUnknownErrorCode, rtransport.SizeInvalidErrorCode, rtransport.TagInvalidErrorCode,
	rtransport.UnauthorizedErrorCode, rtransport.DeniedErrorCode, rtransport.UnsupportedErrorCode, rtransport.TooManyRequestsErrorCode,
	rtransport.UnavailableErrorCode, rtransport.UnknownErrorCode,
}

// diagnosis is the status of a registry's answer, with its code if that is one of the
// protocol. Nothing else of an answer is shown: whatever answers may be no registry.
func diagnosis(te *rtransport.Error) string {
	text := fmt.Sprintf("status %d", te.StatusCode)
	for _, d := range te.Errors {
		if slices.Contains(known, d.Code) && !strings.Contains(text, string(d.Code)) {
			text += ", " + string(d.Code)
		}
	}
	return text
}
