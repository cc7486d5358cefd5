// Package secrets finds the secrets and parameters that Slipway keeps, by the
// names, ARNs and versions that clients give, and seals and opens their values.
// Its [Reader] reads what RuntimeEnvironmentSecrets refer to, here or at AWS.
//
// It speaks no wire format: internal/secretsmanager and internal/ssm answer the
// calls; internal/deploy reads during deployments.
package secrets

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/seal"
	"github.com/openslipway/slipway/internal/store"
)

// Vault is the secrets and parameters of one account in one region.
type Vault struct {
	Keys            *seal.Keyring
	Region, Account string
}

// Staging labels that Secrets Manager moves by itself.
const (
	Current  = "AWSCURRENT"
	Previous = "AWSPREVIOUS"
)

// SecretARN returns the ARN of a secret, whose last six characters are random;
// without them, its prefix. An ARN is returned unchanged.
func (v *Vault) SecretARN(name, random string) string {
	switch {
	case strings.HasPrefix(name, "arn:"):
		return name
	case random == "":
		return v.secretPrefix() + name
	}
	return v.secretPrefix() + name + "-" + random
}

func (v *Vault) secretPrefix() string {
	return "arn:aws:secretsmanager:" + v.Region + ":" + v.Account + ":secret:"
}

// Secret finds a secret by its name or its ARN, with or without the last six
// characters. store.ErrNotFound if there is none.
func (v *Vault) Secret(tx *store.Tx, id string) (slipway.Secret, error) {
	if !strings.HasPrefix(id, "arn:") {
		return tx.SecretByName(id)
	}
	name, ok := strings.CutPrefix(id, v.secretPrefix())
	if !ok {
		return slipway.Secret{}, store.ErrNotFound
	}
	s, err := tx.Secret(id)
	if errors.Is(err, store.ErrNotFound) {
		s, err = tx.SecretByName(name)
	}
	return s, err
}

// Version finds the version of a secret by id, or by stage if the id is ""; an
// empty stage means AWSCURRENT. If both are given, both must match.
// store.ErrNotFound if there is none.
func (v *Vault) Version(tx *store.Tx, secretARN, id, stage string) (slipway.SecretVersion, error) {
	list, err := tx.SecretVersions(secretARN)
	if err != nil {
		return slipway.SecretVersion{}, err
	}
	if id == "" && stage == "" {
		stage = Current
	}
	for _, w := range list {
		if (id == "" || w.ID == id) && (stage == "" || slices.Contains(w.Stages, stage)) {
			return w, nil
		}
	}
	return slipway.SecretVersion{}, store.ErrNotFound
}

func secretContext(w slipway.SecretVersion) string {
	return "secret " + w.SecretARN + " version " + w.ID
}

// SealSecret sets a version's value.
func (v *Vault) SealSecret(w *slipway.SecretVersion, value []byte) {
	w.Sealed = v.Keys.Seal(secretContext(*w), value)
}

// OpenSecret returns a version's value.
func (v *Vault) OpenSecret(w slipway.SecretVersion) ([]byte, error) {
	b, err := v.Keys.Open(secretContext(w), w.Sealed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", secretContext(w), err)
	}
	return b, nil
}

// ParameterARN returns the ARN of a parameter. An ARN is returned unchanged.
func (v *Vault) ParameterARN(name string) string {
	if strings.HasPrefix(name, "arn:") {
		return name
	}
	return v.parameterPrefix() + strings.TrimPrefix(name, "/")
}

func (v *Vault) parameterPrefix() string {
	return "arn:aws:ssm:" + v.Region + ":" + v.Account + ":parameter/"
}

// ErrNoVersion is the error of Parameter if the parameter does not have the
// version.
var ErrNoVersion = errors.New("no such version")

// Parameter finds a parameter by its name or ARN, optionally followed by ":"
// and a version. store.ErrNotFound if there is no such parameter, ErrNoVersion
// if it does not have the version.
func (v *Vault) Parameter(tx *store.Tx, selector string) (slipway.Parameter, error) {
	name, version, versioned := v.cutVersion(selector)
	p, err := tx.Parameter(name)
	if errors.Is(err, store.ErrNotFound) && strings.HasPrefix(selector, "arn:") && !strings.HasPrefix(name, "/") {
		p, err = tx.Parameter("/" + name)
	}
	if err != nil || !versioned {
		return p, err
	}
	n, err := strconv.ParseInt(version, 10, 64)
	if err != nil {
		return p, ErrNoVersion // a label, which Slipway does not have
	}
	p, err = tx.ParameterVersion(p.Name, n)
	if errors.Is(err, store.ErrNotFound) {
		err = ErrNoVersion
	}
	return p, err
}

// cutVersion splits a selector. The name is "" if the selector is an ARN of
// another account or region.
func (v *Vault) cutVersion(selector string) (name, version string, versioned bool) {
	if !strings.HasPrefix(selector, "arn:") {
		return strings.Cut(selector, ":")
	}
	rest, ok := strings.CutPrefix(selector, v.parameterPrefix())
	if !ok {
		return "", "", false
	}
	name, version, versioned = strings.Cut(rest, ":")
	if strings.Contains(name, "/") {
		name = "/" + name
	}
	return name, version, versioned
}

func parameterContext(p slipway.Parameter) string {
	return "parameter " + p.Name + " version " + strconv.FormatInt(p.Version, 10)
}

// SealParameter sets the value of a parameter's version.
func (v *Vault) SealParameter(p *slipway.Parameter, value string) {
	p.Sealed = v.Keys.Seal(parameterContext(*p), []byte(value))
}

// OpenParameter returns the value of a version of a parameter.
func (v *Vault) OpenParameter(p slipway.Parameter) (string, error) {
	b, err := v.Keys.Open(parameterContext(p), p.Sealed)
	if err != nil {
		return "", fmt.Errorf("%s: %w", parameterContext(p), err)
	}
	return string(b), nil
}
