package secrets

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// Reader reads what RuntimeEnvironmentSecrets refer to.
type Reader struct {
	Store *store.Store
	Vault *Vault
	AWS   Remote // nil if references to AWS are not followed
}

// Remote has secrets and parameters that are kept elsewhere.
type Remote interface {
	// Secret returns the value of a secret's version. Its error is an
	// unreadable error if a retry is pointless.
	Secret(ctx context.Context, r slipway.SecretReference) ([]byte, error)

	// Parameter returns the decrypted value of a parameter.
	Parameter(ctx context.Context, r slipway.SecretReference) (string, error)
}

// unreadable is a sentence that says why a value can't be read; a retry would
// not help.
type unreadable string

func (m unreadable) Error() string { return string(m) }

// absent is an unreadable error of a name that nothing on this server bears.
type absent struct{ unreadable }

func (m absent) Unwrap() error { return m.unreadable }

// Read returns the values of environment variables for references, both by the
// variable's name. Each secret is read once, however many variables use a part
// of it. An *slipway.Error names the variable and the reference.
func (r *Reader) Read(ctx context.Context, references map[string]string) (map[string]string, error) {
	read := map[slipway.SecretReference][]byte{}
	values := make(map[string]string, len(references))
	for _, name := range slices.Sorted(maps.Keys(references)) {
		value, err := r.read(ctx, references[name], read)
		if m, ok := errors.AsType[unreadable](err); ok {
			return nil, slipway.Errorf(slipway.InvalidRequest, "The secret for environment variable %s could not be read from %s: %s", name, references[name], m)
		}
		if err != nil {
			return nil, fmt.Errorf("the secret for environment variable %s could not be read from %s: %w", name, references[name], err)
		}
		values[name] = value
	}
	return values, nil
}

func (r *Reader) read(ctx context.Context, text string, read map[slipway.SecretReference][]byte) (string, error) {
	ref, err := slipway.ParseSecretReference(text)
	if err != nil {
		return "", unreadable(err.Error())
	}
	whole := ref
	whole.JSONKey = ""
	value, ok := read[whole]
	if !ok {
		if value, err = r.value(ctx, whole); err != nil {
			return "", err
		}
		read[whole] = value
	}
	if ref.JSONKey != "" {
		if value, err = member(value, ref.JSONKey); err != nil {
			return "", err
		}
	}
	if strings.IndexByte(string(value), 0) >= 0 {
		return "", unreadable("its value has a zero byte, which no environment variable can hold.")
	}
	return string(value), nil
}

// value reads from this server what belongs to it. What does not, or does not exist
// here, it reads from AWS: the server may have its owner's account number. A secret or
// parameter that exists here is never read from AWS, also if it lacks the version or is
// to be deleted: there the name may be somebody else's.
func (r *Reader) value(ctx context.Context, ref slipway.SecretReference) ([]byte, error) {
	here := ref.In(r.Vault.Region, r.Vault.Account)
	if !here && r.AWS == nil {
		return nil, unreadable(fmt.Sprintf("it is in account %s, region %s (arn:%s), but this server only has those of account %s, region %s (arn:aws); with --aws-secrets it reads others from AWS.",
			ref.Account, ref.Region, ref.Partition, r.Vault.Account, r.Vault.Region))
	}
	if here {
		value, err := r.own(ctx, ref)
		if _, ok := errors.AsType[absent](err); !ok || r.AWS == nil {
			return value, err
		}
	}
	if ref.Secret != "" {
		return r.AWS.Secret(ctx, ref)
	}
	value, err := r.AWS.Parameter(ctx, ref)
	return []byte(value), err
}

func (r *Reader) own(ctx context.Context, ref slipway.SecretReference) (value []byte, err error) {
	err = r.Store.ViewUnsynced(ctx, func(tx *store.Tx) error {
		if ref.Secret != "" {
			value, err = r.ownSecret(tx, ref)
		} else {
			value, err = r.ownParameter(tx, ref)
		}
		return err
	})
	return value, err
}

func (r *Reader) ownSecret(tx *store.Tx, ref slipway.SecretReference) ([]byte, error) {
	s, err := r.Vault.Secret(tx, ref.Secret)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, r.noSecret(tx, ref)
	case err != nil:
		return nil, err
	case !s.DeletedAt.IsZero():
		return nil, unreadable("the secret was marked for deletion.")
	}
	w, err := r.Vault.Version(tx, s.ARN, ref.VersionID, ref.Stage)
	if errors.Is(err, store.ErrNotFound) {
		return nil, unreadable("Secrets Manager can't find the specified secret value.")
	}
	if err != nil {
		return nil, err
	}
	return r.Vault.OpenSecret(w)
}

// noSecret says that there is no secret of an ARN, and which one may have been meant.
func (r *Reader) noSecret(tx *store.Tx, ref slipway.SecretReference) error {
	like, err := r.Vault.lookalike(tx, ref.Secret)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return absent{"Secrets Manager can't find the specified secret."}
	case err != nil:
		return err
	}
	return unreadable(fmt.Sprintf("no secret has this ARN. An ARN that ends with a hyphen and six characters is a complete one; the secret named %s has the ARN %s.", like.Name, like.ARN))
}

func (r *Reader) ownParameter(tx *store.Tx, ref slipway.SecretReference) ([]byte, error) {
	selector := ref.Parameter
	if ref.Region != "" {
		selector = r.Vault.ParameterARN(ref.Parameter)
	}
	if ref.Version != 0 {
		selector = fmt.Sprintf("%s:%d", selector, ref.Version)
	}
	p, err := r.Vault.Parameter(tx, selector)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, absent{"Parameter Store has no parameter of this name."}
	case errors.Is(err, ErrNoVersion):
		return nil, unreadable("the parameter has no such version.")
	}
	if twins, ok := errors.AsType[*TwinsError](err); ok {
		return nil, unreadable(twins.Error() + ".")
	} else if err != nil {
		return nil, err
	}
	value, err := r.Vault.OpenParameter(p)
	return []byte(value), err
}

// member returns a member of a secret that is a JSON object: a string's text,
// anything else as JSON. Its error does not reveal the secret.
func member(secret []byte, key string) ([]byte, error) {
	var object map[string]jsontext.Value
	if err := json.Unmarshal(secret, &object); err != nil || object == nil {
		return nil, unreadable("its value is not a JSON object, so it has no key " + key + ".")
	}
	v, ok := object[key]
	if !ok {
		return nil, unreadable("its value has no key " + key + ".")
	}
	if v.Kind() != '"' {
		return v, nil
	}
	var text string
	if err := json.Unmarshal(v, &text); err != nil {
		return nil, unreadable("its key " + key + " has no readable value.")
	}
	return []byte(text), nil
}
