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
	"regexp"
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

// complete matches what complete ARNs of secrets end with: a hyphen and six random
// characters.
var complete = regexp.MustCompile(`-[A-Za-z0-9]{6}$`)

// Secret finds a secret by its name, its ARN, or its ARN without the last seven
// characters. store.ErrNotFound if there is none.
//
// An ARN that ends with a hyphen and six characters is a complete one, as in Secrets
// Manager. So the ARN of a deleted secret never leads to another secret, whose name
// looks like it.
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot.html#ARN_secretnamehyphen
func (v *Vault) Secret(tx *store.Tx, id string) (slipway.Secret, error) {
	if !strings.HasPrefix(id, "arn:") {
		return tx.SecretByName(id)
	}
	name, ok := strings.CutPrefix(id, v.secretPrefix())
	if !ok {
		return slipway.Secret{}, store.ErrNotFound
	}
	s, err := tx.Secret(id)
	if errors.Is(err, store.ErrNotFound) && !complete.MatchString(name) {
		s, err = tx.SecretByName(name)
	}
	return s, err
}

// lookalike returns the secret whose name ends as a complete ARN does and that an ARN
// without random characters would name.
func (v *Vault) lookalike(tx *store.Tx, id string) (slipway.Secret, error) {
	name, ok := strings.CutPrefix(id, v.secretPrefix())
	if !ok || !complete.MatchString(name) {
		return slipway.Secret{}, store.ErrNotFound
	}
	return tx.SecretByName(name)
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

// TwinsError is the error of Parameter for an ARN that two parameters have: names
// with and without a leading slash have the same ARN.
type TwinsError struct{ ARN, Name string }

func (e *TwinsError) Error() string {
	return fmt.Sprintf("%s is the ARN of two parameters, %s and /%s; give the name of the one that is meant", e.ARN, e.Name, e.Name)
}

// Twin returns the other name that has the ARN of a parameter's name: that with, or
// without, a leading slash; "" if no other has it.
func Twin(name string) string {
	bare, slash := strings.CutPrefix(name, "/")
	switch {
	case bare == "" || strings.Contains(bare, "/"):
		return ""
	case slash:
		return bare
	}
	return "/" + bare
}

// CutVersion splits what names a parameter: its name or ARN, and what follows a colon,
// a version or a label.
func CutVersion(selector string) (base, version string, versioned bool) {
	at := 0
	if strings.HasPrefix(selector, "arn:") {
		f := strings.SplitN(selector, ":", 6)
		at = len(selector) - len(f[len(f)-1])
	}
	i := strings.IndexByte(selector[at:], ':')
	if i < 0 {
		return selector, "", false
	}
	return selector[:at+i], selector[at+i+1:], true
}

// Parameter finds a parameter by its name or ARN, optionally followed by ":"
// and a version. store.ErrNotFound if there is no such parameter, ErrNoVersion
// if it does not have the version, a *TwinsError if two have the ARN.
func (v *Vault) Parameter(tx *store.Tx, selector string) (slipway.Parameter, error) {
	base, version, versioned := CutVersion(selector)
	p, err := v.parameter(tx, base)
	if err != nil || !versioned {
		return p, err
	}
	n, err := strconv.ParseInt(version, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != version {
		return p, ErrNoVersion // a label, which Slipway does not have
	}
	p, err = tx.ParameterVersion(p.Name, n)
	if errors.Is(err, store.ErrNotFound) {
		err = ErrNoVersion
	}
	return p, err
}

// parameter finds the latest version of a parameter by its name or ARN.
func (v *Vault) parameter(tx *store.Tx, base string) (slipway.Parameter, error) {
	if !strings.HasPrefix(base, "arn:") {
		return tx.Parameter(base)
	}
	name, ok := strings.CutPrefix(base, v.parameterPrefix())
	if !ok {
		return slipway.Parameter{}, store.ErrNotFound // of another account or region
	}
	if strings.Contains(name, "/") {
		return tx.Parameter("/" + name)
	}
	p, err := tx.Parameter(name)
	slashed, serr := tx.Parameter("/" + name)
	switch {
	case err == nil && serr == nil:
		return p, &TwinsError{ARN: base, Name: name}
	case errors.Is(err, store.ErrNotFound):
		return slashed, serr
	}
	return p, err
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
