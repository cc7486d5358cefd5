package secrets

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"

	"github.com/openslipway/slipway"
)

// AWS reads from Secrets Manager and Parameter Store at AWS, in the region that
// the reference names, otherwise in that of Config. It reads with the server's
// credentials; it does not assume the instance role.
//
// One read takes 30 seconds at most, with all its attempts and the credentials for it.
// An answer has at most 64 KiB of headers and 256 KiB of a body. Redirects are not
// followed: the SDK follows those of status 307 and 308 without end.
type AWS struct {
	Config aws.Config

	// Limit is the time of one read; 0: 30 seconds.
	Limit time.Duration
}

const (
	awsLimit  = 30 * time.Second
	awsHeader = 64 << 10  // bytes
	awsAnswer = 256 << 10 // bytes: a secret has 64 KiB, in JSON twice that, in base64 86 KiB
)

// client returns an HTTP client for one read, with the transport of the configuration.
func (a AWS) client() *http.Client {
	given, ok := a.Config.HTTPClient.(*awshttp.BuildableClient) // which has the operator's certificate authorities
	if !ok {
		given = awshttp.NewBuildableClient()
	}
	t := given.GetTransport()
	t.MaxResponseHeaderBytes = awsHeader
	t.DisableKeepAlives = true // the client is not used again
	return &http.Client{
		Transport:     bounded{t},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded fails to read answers that are too long.
type bounded struct{ *http.Transport }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.Transport.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, awsAnswer)
	}
	return resp, err
}

// Secret implements Remote.
func (a AWS) Secret(ctx context.Context, r slipway.SecretReference) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(a.Limit, awsLimit))
	defer cancel()
	c := secretsmanager.NewFromConfig(a.Config, func(o *secretsmanager.Options) { o.Region, o.HTTPClient = cmp.Or(r.Region, o.Region), a.client() })
	in := &secretsmanager.GetSecretValueInput{SecretId: &r.Secret}
	if r.Stage != "" {
		in.VersionStage = &r.Stage
	}
	if r.VersionID != "" {
		in.VersionId = &r.VersionID
	}
	out, err := c.GetSecretValue(ctx, in)
	if err != nil {
		return nil, refusal(err)
	}
	if out.SecretString != nil {
		return []byte(*out.SecretString), nil
	}
	return out.SecretBinary, nil
}

// Parameter implements Remote. It calls GetParameters with one name, as App
// Runner does: users' policies allow ssm:GetParameters.
func (a AWS) Parameter(ctx context.Context, r slipway.SecretReference) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(a.Limit, awsLimit))
	defer cancel()
	c := ssm.NewFromConfig(a.Config, func(o *ssm.Options) { o.Region, o.HTTPClient = cmp.Or(r.Region, o.Region), a.client() })
	name := r.Parameter
	if r.Account != "" {
		name = "arn:" + r.Partition + ":ssm:" + r.Region + ":" + r.Account + ":parameter/" + strings.TrimPrefix(name, "/")
	}
	if r.Version != 0 {
		name += ":" + strconv.FormatInt(r.Version, 10)
	}
	out, err := c.GetParameters(ctx, &ssm.GetParametersInput{Names: []string{name}, WithDecryption: aws.Bool(true)})
	if err != nil {
		return "", refusal(err)
	}
	if len(out.Parameters) == 0 || out.Parameters[0].Value == nil {
		return "", unreadable("Parameter Store has no such parameter.")
	}
	return *out.Parameters[0].Value, nil
}

// refusal turns an answer of AWS that a retry would not change into an
// unreadable error. Other errors may be temporary: the network, throttling, a
// failure at AWS.
func refusal(err error) error {
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok || e.ErrorFault() == smithy.FaultServer || strings.Contains(e.ErrorCode(), "Throttl") {
		return err
	}
	if e.ErrorFault() == smithy.FaultUnknown && strings.HasPrefix(e.ErrorCode(), "Internal") {
		return err
	}
	return unreadable(cmp.Or(e.ErrorMessage(), "AWS refused it") + " (" + e.ErrorCode() + ")")
}
