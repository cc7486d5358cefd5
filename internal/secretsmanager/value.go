package secretsmanager

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/share"
	"github.com/openslipway/slipway/internal/page"
	"github.com/openslipway/slipway/internal/seal"
	"github.com/openslipway/slipway/internal/secrets"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

const (
	maxValue    = 65536 // bytes
	maxVersions = 100   // about which Secrets Manager begins to remove deprecated ones
	maxStages   = 20    // staging labels of all versions of a secret together
)

// value is a secret's value in a call.
type value struct {
	binary bool
	bytes  []byte
}

// valueOf returns the value in a call, nil if there is none.
func valueOf(text *string, bytes []byte) (*value, error) {
	v := value{bytes: bytes}
	member := "secretBinary"
	switch {
	case text != nil && bytes != nil:
		return nil, invalidParameter("You can't specify both a binary secret value and a string secret value in the same secret.")
	case text != nil:
		v.bytes, member = []byte(*text), "secretString"
	case bytes == nil:
		return nil, nil
	default:
		v.binary = true
	}
	if len(v.bytes) > maxValue {
		return nil, wire.NewException("ValidationException", fmt.Sprintf(
			"1 validation error detected: Value at '%s' failed to satisfy constraint: Member must have length less than or equal to %d", member, maxValue))
	}
	if len(v.bytes) == 0 && v.binary {
		return nil, wire.NewException("ValidationException",
			"1 validation error detected: Value at 'secretBinary' failed to satisfy constraint: Member must have length greater than or equal to 1")
	}
	return &v, nil
}

// versionID returns the id for a new version: the request token, which makes
// repeated calls idempotent. SDKs generate it.
func versionID(token *string) (string, error) {
	if token == nil {
		return slipway.NewUUID(), nil
	}
	if n := len(*token); n < 32 || n > 64 {
		return "", wire.NewException("ValidationException",
			"1 validation error detected: Value at 'clientRequestToken' failed to satisfy constraint: Member must have length between 32 and 64")
	}
	return *token, nil
}

// put adds a version with its stages. An existing version of this id with the
// same value stays unchanged.
func (m *Manager) put(tx *store.Tx, s slipway.Secret, id string, v value, stages []string, now time.Time) (slipway.SecretVersion, error) {
	list, err := tx.SecretVersions(s.ARN)
	if err != nil {
		return slipway.SecretVersion{}, err
	}
	if i := slices.IndexFunc(list, func(w slipway.SecretVersion) bool { return w.ID == id }); i >= 0 {
		return list[i], m.same(list[i], s, v)
	}
	w := slipway.SecretVersion{SecretARN: s.ARN, ID: id, Binary: v.binary, CreatedAt: now}
	m.vault.SealSecret(&w, v.bytes)
	next := append(slices.Clone(list), w)
	for _, stage := range stages {
		next = moveStage(next, stage, id)
	}
	if err := save(tx, s.ARN, list, next); err != nil {
		return w, err
	}
	return next[len(next)-1], nil
}

// same returns an error unless an existing version has this value.
func (m *Manager) same(w slipway.SecretVersion, s slipway.Secret, v value) error {
	have, err := m.vault.OpenSecret(w)
	if err != nil {
		return unsealed(err)
	}
	if w.Binary == v.binary && subtle.ConstantTimeCompare(have, v.bytes) == 1 {
		return nil
	}
	return wire.NewException("ResourceExistsException", fmt.Sprintf(
		"You can't use ClientRequestToken %s because that value is already in use for a version of secret %s.", w.ID, s.ARN))
}

// unsealed returns the exception for a value that could not be decrypted.
func unsealed(err error) error {
	if errors.Is(err, seal.ErrSealed) {
		return wire.NewException("DecryptionFailure", "Secrets Manager can't decrypt the protected secret text using the provided KMS key.")
	}
	return err
}

// save writes the differences between list and next: a new version at the end of
// next, and changed stages. It removes old deprecated versions above the number
// that is kept, and those for which the share of the secret's maker has no place. Both
// lists are oldest first.
func save(tx *store.Tx, arn string, list, next []slipway.SecretVersion) error {
	if n := labels(next); n > maxStages && n > labels(list) {
		return wire.NewException("LimitExceededException", fmt.Sprintf("The versions of a secret can have at most %d staging labels together; these would be %d. Remove one that you no longer need (UpdateSecretVersionStage).", maxStages, n))
	}
	left, bounded, err := share.Left(tx, share.Secrets, arn)
	if err != nil {
		return err
	}
	excess, bytes := len(next)-maxVersions, int64(0)
	for _, w := range next {
		bytes += stored(w)
	}
	for i, w := range next {
		var err error
		switch {
		case (excess > 0 || bounded && bytes > left) && len(w.Stages) == 0:
			excess--
			bytes -= stored(w)
			err = tx.DeleteSecretVersion(w)
		case i >= len(list) || !slices.Equal(w.Stages, list[i].Stages):
			err = tx.PutSecretVersion(w)
		}
		if err != nil {
			return err
		}
	}
	if bounded && bytes > left && len(next) > len(list) {
		return limit(share.Full(share.Secrets))
	}
	return tx.SetMadeBytes(arn, bytes)
}

// labels counts the staging labels of versions.
func labels(list []slipway.SecretVersion) (n int) {
	for _, w := range list {
		n += len(w.Stages)
	}
	return n
}

// stored is what the value of a version takes in the database, in bytes.
func stored(w slipway.SecretVersion) int64 {
	return int64(base64.StdEncoding.EncodedLen(len(w.Sealed)))
}

// limit words the refusal of a share as Secrets Manager does.
func limit(err error) error {
	if full, ok := errors.AsType[*share.FullError](err); ok {
		return wire.NewException("LimitExceededException", full.Error())
	}
	return err
}

// moveStage moves a stage to the version of this id from the version that has it.
// AWSCURRENT leaves AWSPREVIOUS behind. With id "" the stage is only removed.
func moveStage(list []slipway.SecretVersion, stage, id string) []slipway.SecretVersion {
	list = slices.Clone(list)
	previous := ""
	for i := range list {
		w := &list[i]
		had := slices.Contains(w.Stages, stage)
		if had && w.ID != id {
			w.Stages = without(w.Stages, stage)
			previous = w.ID
		}
		if !had && w.ID == id {
			w.Stages = append(slices.Clone(w.Stages), stage)
		}
	}
	if stage == secrets.Current && previous != "" && id != "" {
		list = moveStage(list, secrets.Previous, previous)
		for i := range list { // it is not its own predecessor
			if list[i].ID == id {
				list[i].Stages = without(list[i].Stages, secrets.Previous)
			}
		}
	}
	return list
}

func without(stages []string, stage string) []string {
	return slices.DeleteFunc(slices.Clone(stages), func(s string) bool { return s == stage })
}

func (m *Manager) putSecretValue(ctx context.Context, call *gateway.Call, in *sdk.PutSecretValueInput) (*sdk.PutSecretValueOutput, error) {
	v, err := valueOf(in.SecretString, in.SecretBinary)
	if err == nil && v == nil {
		err = invalidRequest("You must provide either SecretString or SecretBinary.")
	}
	if err != nil {
		return nil, err
	}
	id, err := versionID(in.ClientRequestToken)
	if err != nil {
		return nil, err
	}
	stages := in.VersionStages
	if len(stages) == 0 {
		stages = []string{secrets.Current}
	}
	if err := checkStages(stages); err != nil {
		return nil, err
	}
	now := m.now()
	var out sdk.PutSecretValueOutput
	err = call.Update(ctx, func(tx *store.Tx) error {
		s, err := m.findLiving(tx, in.SecretId)
		if err != nil {
			return err
		}
		list, err := tx.SecretVersions(s.ARN)
		if err != nil {
			return err
		}
		if len(list) == 0 && !slices.Contains(stages, secrets.Current) {
			stages = append(slices.Clone(stages), secrets.Current) // the first version always is
		}
		w, err := m.put(tx, s, id, *v, stages, now)
		if err != nil {
			return err
		}
		s.ChangedAt = now
		out = sdk.PutSecretValueOutput{ARN: &s.ARN, Name: &s.Name, VersionId: &w.ID, VersionStages: w.Stages}
		return tx.SaveSecret(s)
	})
	return &out, err
}

func checkStages(stages []string) error {
	if len(stages) > maxStages {
		return wire.NewException("LimitExceededException", fmt.Sprintf("A version can have at most %d staging labels.", maxStages))
	}
	for _, s := range stages {
		if s == "" || len(s) > 256 {
			return wire.NewException("ValidationException",
				"1 validation error detected: Value at 'versionStages' failed to satisfy constraint: Member must have length between 1 and 256")
		}
	}
	return nil
}

func (m *Manager) getSecretValue(ctx context.Context, _ *gateway.Call, in *sdk.GetSecretValueInput) (*sdk.GetSecretValueOutput, error) {
	now := m.now()
	var out *sdk.GetSecretValueOutput
	var accessed *slipway.Secret
	err := m.cfg.Store.View(ctx, func(tx *store.Tx) error {
		s, w, err := m.version(tx, in.SecretId, in.VersionId, in.VersionStage)
		if err != nil {
			return err
		}
		if out, err = m.show(s, w); err != nil {
			return err
		}
		if day := now.Truncate(24 * time.Hour); !s.AccessedAt.Equal(day) {
			s.AccessedAt, accessed = day, &s
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if accessed != nil {
		err = m.noteAccess(ctx, accessed.ARN, accessed.AccessedAt)
	}
	return out, err
}

// noteAccess stores the day on which a secret was last read; Secrets Manager
// shows no more precise time.
func (m *Manager) noteAccess(ctx context.Context, arn string, day time.Time) error {
	return m.cfg.Store.UpdateUnsynced(ctx, func(tx *store.Tx) error {
		s, err := tx.Secret(arn)
		if errors.Is(err, store.ErrNotFound) {
			return nil // it was deleted meanwhile
		}
		if err != nil {
			return err
		}
		s.AccessedAt = day
		return tx.SaveSecret(s)
	})
}

func (m *Manager) version(tx *store.Tx, id, versionID, stage *string) (slipway.Secret, slipway.SecretVersion, error) {
	s, err := m.findLiving(tx, id)
	if err != nil {
		return s, slipway.SecretVersion{}, err
	}
	w, err := m.vault.Version(tx, s.ARN, aws.ToString(versionID), aws.ToString(stage))
	if errors.Is(err, store.ErrNotFound) {
		what := "staging label: " + secrets.Current
		switch {
		case stage != nil && versionID != nil:
			return s, w, invalidRequest("The version stage and the version id don't refer to the same version.")
		case versionID != nil:
			what = "VersionId: " + *versionID
		case stage != nil:
			what = "staging label: " + *stage
		}
		err = wire.NewException("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for "+what)
	}
	return s, w, err
}

func (m *Manager) show(s slipway.Secret, w slipway.SecretVersion) (*sdk.GetSecretValueOutput, error) {
	b, err := m.vault.OpenSecret(w)
	if err != nil {
		return nil, unsealed(err)
	}
	out := &sdk.GetSecretValueOutput{
		ARN: &s.ARN, Name: &s.Name, VersionId: &w.ID, VersionStages: w.Stages, CreatedDate: &w.CreatedAt,
	}
	if w.Binary {
		out.SecretBinary = b
	} else {
		out.SecretString = aws.String(string(b))
	}
	return out, nil
}

func (m *Manager) listSecretVersionIDs(ctx context.Context, _ *gateway.Call, in *sdk.ListSecretVersionIdsInput) (*sdk.ListSecretVersionIdsOutput, error) {
	p, err := pager(in.MaxResults, "ListSecretVersionIds", aws.ToString(in.SecretId), fmt.Sprint(aws.ToBool(in.IncludeDeprecated)))
	if err != nil {
		return nil, err
	}
	at, after, err := p.AfterInstant(in.NextToken)
	if err != nil {
		return nil, errToken
	}
	out := sdk.ListSecretVersionIdsOutput{Versions: []types.SecretVersionsListEntry{}}
	err = m.cfg.Store.View(ctx, func(tx *store.Tx) error {
		s, err := m.find(tx, in.SecretId)
		if err != nil {
			return err
		}
		list, err := tx.SecretVersions(s.ARN)
		list = slices.DeleteFunc(list, func(w slipway.SecretVersion) bool {
			return len(w.Stages) == 0 && !aws.ToBool(in.IncludeDeprecated) || cmp.Or(w.CreatedAt.Compare(at), cmp.Compare(w.ID, after)) <= 0
		})
		list, out.NextToken = page.Cut(p, list, func(w slipway.SecretVersion) []string { return page.InstantKey(w.CreatedAt, w.ID) })
		out.ARN, out.Name = &s.ARN, &s.Name
		for _, w := range list {
			out.Versions = append(out.Versions, types.SecretVersionsListEntry{
				VersionId: &w.ID, VersionStages: w.Stages, CreatedDate: &w.CreatedAt, KmsKeyIds: []string{"DefaultEncryptionKey"},
			})
		}
		return err
	})
	return &out, err
}

func (m *Manager) updateSecretVersionStage(ctx context.Context, call *gateway.Call, in *sdk.UpdateSecretVersionStageInput) (*sdk.UpdateSecretVersionStageOutput, error) {
	if in.VersionStage == nil {
		return nil, required("versionStage")
	}
	stage, to, from := *in.VersionStage, aws.ToString(in.MoveToVersionId), aws.ToString(in.RemoveFromVersionId)
	if err := checkStages([]string{stage}); err != nil {
		return nil, err
	}
	var out sdk.UpdateSecretVersionStageOutput
	err := call.Update(ctx, func(tx *store.Tx) error {
		s, err := m.findLiving(tx, in.SecretId)
		if err != nil {
			return err
		}
		list, err := tx.SecretVersions(s.ARN)
		if err != nil {
			return err
		}
		if err := checkMove(list, s, stage, to, from); err != nil {
			return err
		}
		s.ChangedAt = m.now()
		out.ARN, out.Name = &s.ARN, &s.Name
		return errors.Join(save(tx, s.ARN, list, moveStage(list, stage, to)), tx.SaveSecret(s))
	})
	return &out, err
}

// checkMove refuses to move a stage from a version that does not have it, or to a
// version that does not exist.
func checkMove(list []slipway.SecretVersion, s slipway.Secret, stage, to, from string) error {
	holder, exists := "", to == ""
	for _, w := range list {
		if slices.Contains(w.Stages, stage) {
			holder = w.ID
		}
		exists = exists || w.ID == to
	}
	switch {
	case !exists:
		return wire.NewException("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for VersionId: "+to)
	case from != holder && holder != to:
		return invalidParameter(fmt.Sprintf("The parameter RemoveFromVersionId must be set to %q, which is the version that staging label %s of secret %s is attached to.", holder, stage, s.Name))
	case to == "" && from == "":
		return invalidParameter("You must specify MoveToVersionId, RemoveFromVersionId or both.")
	case to == "" && stage == secrets.Current:
		return invalidParameter("You can't remove the staging label AWSCURRENT from a secret; move it to another version.")
	}
	return nil
}
