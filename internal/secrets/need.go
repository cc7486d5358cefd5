package secrets

import (
	"errors"
	"strings"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// ReadSecret is the action that reads the value of a secret, as IAM names it.
const ReadSecret = "secretsmanager:GetSecretValue"

const readParameter = "ssm:GetParameters"

// anySuffix stands for the random characters of a secret that does not exist yet. A
// pattern of a policy that would match the secret's ARN matches this too, unless it has
// the characters themselves.
const anySuffix = "-??????"

// Need returns the action that reads what a reference names, and the full ARN of the
// secret or parameter. Its error is the store's, or an *[slipway.Error] for text that is
// no reference.
func (v *Vault) Need(tx *store.Tx, text string) (action, arn string, err error) {
	r, err := slipway.ParseSecretReference(text)
	if err != nil {
		return "", "", err
	}
	if r.Secret == "" {
		return readParameter, v.parameterARN(r), nil
	}
	arn, err = v.Resource(tx, r.Secret)
	return ReadSecret, arn, err
}

// Resource returns the ARN by which policies decide about the secret of an id: see Secret.
func (v *Vault) Resource(tx *store.Tx, id string) (arn string, err error) {
	s, err := v.Secret(tx, id)
	switch {
	case !errors.Is(err, store.ErrNotFound):
		return s.ARN, err
	case strings.HasPrefix(id, "arn:") && complete.MatchString(id):
		return id, nil
	}
	return v.SecretARN(id, "") + anySuffix, nil
}

// parameterARN returns the ARN of the parameter that a reference names.
func (v *Vault) parameterARN(r slipway.SecretReference) string {
	if r.Region == "" {
		return v.ParameterARN(r.Parameter)
	}
	return "arn:" + r.Partition + ":ssm:" + r.Region + ":" + r.Account + ":parameter/" + strings.TrimPrefix(r.Parameter, "/")
}
