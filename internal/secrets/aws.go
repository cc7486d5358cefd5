package secrets

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"

	"github.com/openslipway/slipway"
)

// AWS reads from Secrets Manager and Parameter Store at AWS, in the region that
// the reference names, otherwise in that of Config. It reads with the server's
// credentials; it does not assume the instance role.
type AWS struct {
	Config aws.Config
}

// Secret implements Remote.
func (a AWS) Secret(ctx context.Context, r slipway.SecretReference) ([]byte, error) {
	c := secretsmanager.NewFromConfig(a.Config, func(o *secretsmanager.Options) { o.Region = cmp.Or(r.Region, o.Region) })
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
	c := ssm.NewFromConfig(a.Config, func(o *ssm.Options) { o.Region = cmp.Or(r.Region, o.Region) })
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
