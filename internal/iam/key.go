package iam

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
)

// Vault protects secrets from readers of the database. A sealed secret opens only
// with the context that it was sealed with.
type Vault interface {
	Seal(context string, secret []byte) []byte
	Open(context string, sealed []byte) ([]byte, error)
}

// Keys seals and opens the secrets of access keys: verifying a signature takes
// the secret itself. Without a vault, secrets are stored in plain text.
type Keys struct{ Vault Vault }

// sealedMark begins a sealed secret in the store. A secret without it was stored
// before there was a vault.
const sealedMark = "sealed:"

func sealContext(id string) string { return "secret of access key " + id }

// Seal returns the secret of a key in the form that is stored.
func (k Keys) Seal(id, secret string) string {
	if k.Vault == nil {
		return secret
	}
	return sealedMark + base64.StdEncoding.EncodeToString(k.Vault.Seal(sealContext(id), []byte(secret)))
}

// Unseal returns the plain secret of a stored key.
func (k Keys) Unseal(id, stored string) (string, error) {
	text, sealed := strings.CutPrefix(stored, sealedMark)
	if !sealed {
		return stored, nil
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", err
	}
	if k.Vault == nil {
		return "", errors.New("the secret is sealed and there is nothing to open it with")
	}
	secret, err := k.Vault.Open(sealContext(id), b)
	return string(secret), err
}

// NewAccessKey makes an access key with AWS's lengths, which clients check.
func NewAccessKey(user string, now time.Time) slipway.AccessKey {
	return slipway.AccessKey{ID: newID("AKIA", 16), Secret: newSecret(), User: user, CreatedAt: now}
}

// newID returns an identifier: a prefix for the kind of resource and n random
// letters and digits.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
func newID(prefix string, n int) string { return prefix + rand.Text()[:n] }

func newSecret() string {
	var b [30]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

func (i *IAM) keys() []gateway.Operation {
	return []gateway.Operation{
		gateway.Mutate("CreateAccessKey", i.createKey, onUser(i, func(in *iam.CreateAccessKeyInput) *string { return in.UserName })).Redacting("SecretAccessKey"),
		gateway.Read("ListAccessKeys", i.listKeys, onUser(i, func(in *iam.ListAccessKeysInput) *string { return in.UserName })),
		gateway.Mutate("UpdateAccessKey", i.updateKey, onUser(i, func(in *iam.UpdateAccessKeyInput) *string { return in.UserName })),
		gateway.Mutate("DeleteAccessKey", i.deleteKey, onUser(i, func(in *iam.DeleteAccessKeyInput) *string { return in.UserName })),
	}
}

// owner returns the name of the user whose keys a call is about: the caller when
// the input names no user.
func (i *IAM) owner(tx *store.Tx, c gateway.Caller, name *string) (string, error) {
	if aws.ToString(name) == "" {
		return c.User, nil
	}
	u, err := i.user(tx, *name)
	return u.Name, err
}

// displayName returns the user's name in replies; the root user has none.
func displayName(user string) *string {
	if user == gateway.Root {
		return nil
	}
	return &user
}

func (i *IAM) createKey(ctx context.Context, call *gateway.Call, in *iam.CreateAccessKeyInput) (*iam.CreateAccessKeyOutput, error) {
	var out iam.CreateAccessKeyOutput
	err := call.Update(ctx, func(tx *store.Tx) error {
		user, err := i.owner(tx, call.Caller, in.UserName)
		if err != nil {
			return err
		}
		keys, err := tx.AccessKeys(user)
		if err != nil {
			return err
		}
		if len(keys) >= maxKeys {
			return quota("Cannot exceed quota for AccessKeysPerUser: %d", maxKeys)
		}
		k := NewAccessKey(user, i.now())
		out.AccessKey = &types.AccessKey{
			AccessKeyId: &k.ID, SecretAccessKey: aws.String(k.Secret), Status: types.StatusTypeActive, UserName: displayName(user), CreateDate: &k.CreatedAt,
		}
		k.Secret = i.cfg.Keys.Seal(k.ID, k.Secret)
		return tx.InsertAccessKey(k)
	})
	return &out, err
}

func (i *IAM) listKeys(ctx context.Context, call *gateway.Call, in *iam.ListAccessKeysInput) (*iam.ListAccessKeysOutput, error) {
	var out iam.ListAccessKeysOutput
	err := i.cfg.Store.View(ctx, func(tx *store.Tx) error {
		user, err := i.owner(tx, call.Caller, in.UserName)
		if err != nil {
			return err
		}
		keys, err := tx.AccessKeys(user)
		if err != nil {
			return err
		}
		slices.SortFunc(keys, func(a, b slipway.AccessKey) int { return strings.Compare(a.ID, b.ID) })
		keys, out.Marker, err = paginate(keys, in.Marker, in.MaxItems, func(k slipway.AccessKey) string { return k.ID })
		out.IsTruncated = out.Marker != nil
		out.AccessKeyMetadata = []types.AccessKeyMetadata{}
		for _, k := range keys {
			out.AccessKeyMetadata = append(out.AccessKeyMetadata, types.AccessKeyMetadata{
				AccessKeyId: &k.ID, Status: status(k), UserName: displayName(user), CreateDate: &k.CreatedAt,
			})
		}
		return err
	})
	return &out, err
}

func status(k slipway.AccessKey) types.StatusType {
	if k.Inactive {
		return types.StatusTypeInactive
	}
	return types.StatusTypeActive
}

// key returns a key of the user whom a call is about.
func (i *IAM) key(tx *store.Tx, c gateway.Caller, user, id *string) (slipway.AccessKey, error) {
	name, err := i.owner(tx, c, user)
	if err != nil {
		return slipway.AccessKey{}, err
	}
	wanted, err := required("accessKeyId", id)
	if err != nil {
		return slipway.AccessKey{}, err
	}
	k, err := tx.AccessKey(wanted)
	if errors.Is(err, store.ErrNotFound) || err == nil && k.User != name {
		return k, noSuchEntity("The Access Key with id %s cannot be found.", wanted)
	}
	return k, err
}

func (i *IAM) updateKey(ctx context.Context, call *gateway.Call, in *iam.UpdateAccessKeyInput) (*iam.UpdateAccessKeyOutput, error) {
	if in.Status != types.StatusTypeActive && in.Status != types.StatusTypeInactive {
		return nil, invalid("1 validation error detected: Value '%.32s' at 'status' failed to satisfy constraint: Member must satisfy enum value set: [Active, Inactive]", in.Status)
	}
	return &iam.UpdateAccessKeyOutput{}, call.Update(ctx, func(tx *store.Tx) error {
		k, err := i.key(tx, call.Caller, in.UserName, in.AccessKeyId)
		if err != nil {
			return err
		}
		if in.Status == types.StatusTypeInactive {
			if err := refuseLastRootKey(tx, k); err != nil {
				return err
			}
		}
		return tx.SetAccessKeyInactive(k.ID, in.Status == types.StatusTypeInactive)
	})
}

func (i *IAM) deleteKey(ctx context.Context, call *gateway.Call, in *iam.DeleteAccessKeyInput) (*iam.DeleteAccessKeyOutput, error) {
	return &iam.DeleteAccessKeyOutput{}, call.Update(ctx, func(tx *store.Tx) error {
		k, err := i.key(tx, call.Caller, in.UserName, in.AccessKeyId)
		if err != nil {
			return err
		}
		if err := refuseLastRootKey(tx, k); err != nil {
			return err
		}
		return tx.DeleteAccessKey(k.ID)
	})
}

// refuseLastRootKey refuses to remove the root user's last active key: unlike
// AWS, there is no console to log in to without one.
func refuseLastRootKey(tx *store.Tx, k slipway.AccessKey) error {
	if k.User != gateway.Root {
		return nil
	}
	keys, err := tx.AccessKeys(gateway.Root)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(keys, func(o slipway.AccessKey) bool { return o.ID != k.ID && !o.Inactive }) {
		return inUse("Cannot take the last active access key of the root user; create another one first.")
	}
	return nil
}
