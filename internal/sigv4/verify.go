package sigv4

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/smithy-go/aws-http-auth/credentials"
	"github.com/aws/smithy-go/aws-http-auth/sigv4"
	v4 "github.com/aws/smithy-go/aws-http-auth/v4"
)

// maxSkew is how far the signing time may be from the server's, in both
// directions.
const maxSkew = 5 * time.Minute

// Key is an access key's secret, and the session token of temporary
// credentials.
type Key struct {
	Secret  string
	Token   string    // "" for a permanent key
	Expires time.Time // of temporary credentials
}

// Lookup returns an access key; ok is false if there is no such key or it is
// inactive. An error is the server's own failure, not the caller's.
type Lookup func(ctx context.Context, keyID string) (k Key, ok bool, err error)

// Scope is what a request must be signed for.
type Scope struct {
	Service string
	Regions []string // any of them; the first is the endpoint's
}

// Verifier checks signatures. It is safe for concurrent use.
type Verifier struct {
	MaxBody int64 // bytes
	Now     func() time.Time

	// MaxHashed is the limit, in bytes, of a body whose hash is in the signed header
	// X-Amz-Content-Sha256, if it is more than MaxBody. Such a request's signature is
	// checked before its body is read: only the holder of a key can make the process
	// buffer so much.
	MaxHashed int64
}

// Verify checks that the request is signed for the scope by the holder of a key
// that lookup knows, and returns its whole body. A fault of the request is an
// *Error; any other error is lookup's.
//
// It reads the body only after it found the key, so that unauthenticated
// clients can't make the process buffer anything.
func (v *Verifier) Verify(r *http.Request, scope Scope, lookup Lookup) ([]byte, error) {
	a, err := parse(r.Header)
	if err != nil {
		return nil, err
	}
	if err := v.checkScope(a, scope); err != nil {
		return nil, err
	}
	if name, missing := a.mustSign(r.Header); missing {
		return nil, refuse(InvalidSignature, "'%s' must be a 'SignedHeader' in the AWS Authorization.", name)
	}
	key, ok, err := lookup(r.Context(), a.keyID)
	if err != nil {
		return nil, fmt.Errorf("look up access key: %w", err)
	}
	// Tokens are compared even if there is no key, so that timing reveals
	// nothing.
	if !hmac.Equal([]byte(key.Token), []byte(r.Header.Get("X-Amz-Security-Token"))) || !ok {
		return nil, refuse(UnrecognizedClient, "The security token included in the request is invalid.")
	}
	if !key.Expires.IsZero() && !v.Now().Before(key.Expires) {
		return nil, refuse(ExpiredToken, "The security token included in the request is expired")
	}
	most := v.MaxBody
	if hash, ok := sentHash(r.Header); ok && v.MaxHashed > most {
		if err := a.check(r, hash, key.Secret); err != nil {
			return nil, err
		}
		most = v.MaxHashed
	}
	body, err := read(r, most)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(body)
	if sent := r.Header.Get("X-Amz-Content-Sha256"); sent != "" && !strings.EqualFold(sent, hex.EncodeToString(hash[:])) {
		return nil, refuse(InvalidSignature, "The value of 'X-Amz-Content-Sha256' is not the SHA-256 hash of the request body.")
	}
	if err := a.check(r, hash[:], key.Secret); err != nil {
		return nil, err
	}
	return body, nil
}

// sentHash returns the hash of the body that a request's header has.
func sentHash(h http.Header) ([]byte, bool) {
	hash, err := hex.DecodeString(h.Get("X-Amz-Content-Sha256"))
	return hash, err == nil && len(hash) == sha256.Size
}

// checkScope checks the signature's service, region and time.
func (v *Verifier) checkScope(a authorization, scope Scope) error {
	if !slices.Contains(scope.Regions, a.region) {
		return refuse(InvalidSignature, "Credential should be scoped to a valid region. The region of this endpoint is '%s'.", scope.Regions[0])
	}
	if a.service != scope.Service {
		return refuse(InvalidSignature, "Credential should be scoped to correct service: '%s'.", scope.Service)
	}
	if day := a.at.Format(dateFormat); a.date != day {
		return refuse(InvalidSignature,
			"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%.8s' != '%s', from '%s'.",
			a.date, day, a.at.Format(timeFormat))
	}
	now := v.Now().UTC()
	at, oldest, newest := a.at.Format(timeFormat), now.Add(-maxSkew), now.Add(maxSkew)
	if a.at.Before(oldest.Truncate(time.Second)) {
		return refuse(InvalidSignature, "Signature expired: %s is now earlier than %s (%s - 5 min.)",
			at, oldest.Format(timeFormat), now.Format(timeFormat))
	}
	if a.at.After(newest) {
		return refuse(InvalidSignature, "Signature not yet current: %s is still later than %s (%s + 5 min.)",
			at, newest.Format(timeFormat), now.Format(timeFormat))
	}
	return nil
}

// read reads a body of at most so many bytes.
func read(r *http.Request, most int64) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	tooLarge := refuse(RequestEntityTooLarge, "The request body is larger than %d bytes.", most)
	if r.ContentLength > most {
		return nil, tooLarge
	}
	var b bytes.Buffer
	if r.ContentLength > 0 {
		b.Grow(int(r.ContentLength) + bytes.MinRead) // ReadFrom needs spare capacity to see the end
	}
	n, err := b.ReadFrom(io.LimitReader(r.Body, most+1))
	switch {
	case n > most:
		return nil, tooLarge
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return nil, refuse(RequestTimeout, "The request body did not arrive in time.")
	case err != nil:
		return nil, refuse(RequestAborted, "The request body broke off after %d bytes.", n)
	}
	return b.Bytes(), nil
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && t.Timeout()
}

// check signs the request again, with the hash of its body, and compares.
func (a authorization) check(r *http.Request, hash []byte, secret string) error {
	again := r.Clone(r.Context())
	again.Body = nil
	foldSpaces(again.Header)
	err := sigv4.New().SignRequest(&sigv4.SignRequestInput{
		Request:     again,
		PayloadHash: hash,
		Credentials: credentials.Credentials{AccessKeyID: a.keyID, SecretAccessKey: secret},
		Service:     a.service,
		Region:      a.region,
		Time:        a.at,
	}, func(o *v4.SignerOptions) { o.HeaderRules = exactly(a.signedHeaders) })
	if err != nil {
		return fmt.Errorf("sign the request again: %w", err)
	}
	_, params, _ := strings.Cut(again.Header.Get("Authorization"), " ")
	want, err := parseParameters(params)
	if err != nil {
		return fmt.Errorf("read our own signature: %w", err)
	}
	if !hmac.Equal([]byte(want.signature), []byte(a.signature)) || !slices.Equal(want.signedHeaders, a.signedHeaders) {
		return refuse(InvalidSignature, "The request signature we calculated does not match the signature you provided. "+
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	return nil
}

// exactly signs the listed headers and no others.
type exactly []string

func (e exactly) IsSigned(name string) bool {
	_, ok := slices.BinarySearch(e, name)
	return ok
}

// foldSpaces replaces runs of spaces in every value by one, as the canonical
// form requires and the signing library does not do.
func foldSpaces(h http.Header) {
	for _, values := range h {
		for i, s := range values {
			for strings.Contains(s, "  ") {
				s = strings.ReplaceAll(s, "  ", " ")
			}
			values[i] = s
		}
	}
}
