package secretsmanager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/page"
	"github.com/openslipway/slipway/internal/secrets"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

var errToken = wire.NewException("InvalidNextTokenException", "The NextToken value is invalid.")

// mostResults is the maximum number of entries of a page, and the default.
const mostResults = 100

func pager(most *int32, operation string, parameters ...string) (page.Pager, error) {
	n := int32(mostResults)
	if most != nil {
		if *most < 1 || *most > mostResults {
			return page.Pager{}, wire.NewException("ValidationException", fmt.Sprintf(
				"1 validation error detected: Value '%d' at 'maxResults' failed to satisfy constraint: Member must have value between 1 and %d", *most, mostResults))
		}
		n = *most
	}
	return page.New(&n, operation, parameters...), nil
}

// entry describes a secret without its versions.
func entry(tx *store.Tx, s slipway.Secret) (types.SecretListEntry, error) {
	e := types.SecretListEntry{ARN: &s.ARN, Name: &s.Name, CreatedDate: &s.CreatedAt, LastChangedDate: &s.ChangedAt, Tags: []types.Tag{}}
	for _, c := range []struct {
		to   **string
		text string
	}{{&e.Description, s.Description}, {&e.KmsKeyId, s.KMSKey}} {
		if c.text != "" {
			*c.to = &c.text
		}
	}
	if !s.AccessedAt.IsZero() {
		e.LastAccessedDate = &s.AccessedAt
	}
	if !s.DeletedAt.IsZero() {
		e.DeletedDate = &s.DeletedAt
	}
	tags, err := tx.Tags(s.ARN)
	for _, t := range tags {
		e.Tags = append(e.Tags, types.Tag{Key: &t.Key, Value: &t.Value})
	}
	return e, err
}

// staged returns the stages of a secret's versions that have any, by their ids.
func staged(tx *store.Tx, arn string) (map[string][]string, error) {
	versions, err := tx.SecretVersions(arn)
	stages := map[string][]string{}
	for _, w := range versions {
		if len(w.Stages) > 0 {
			stages[w.ID] = w.Stages
		}
	}
	return stages, err
}

func (m *Manager) listSecrets(ctx context.Context, call *gateway.Call, in *sdk.ListSecretsInput) (*sdk.ListSecretsOutput, error) {
	if err := checkFilters(in.Filters); err != nil {
		return nil, err
	}
	query, err := json.Marshal([]any{in.Filters, in.IncludePlannedDeletion, in.SortBy, in.SortOrder})
	if err != nil {
		return nil, err
	}
	p, err := pager(in.MaxResults, "ListSecrets", string(query))
	if err != nil {
		return nil, err
	}
	out := sdk.ListSecretsOutput{SecretList: []types.SecretListEntry{}}
	err = m.cfg.Store.View(ctx, func(tx *store.Tx) error {
		list, err := m.filtered(tx, call, in.Filters, aws.ToBool(in.IncludePlannedDeletion))
		if err != nil {
			return err
		}
		if out.SecretList, out.NextToken, err = sorted(p, list, in); err != nil {
			return err
		}
		for i, e := range out.SecretList {
			if out.SecretList[i].SecretVersionsToStages, err = staged(tx, *e.ARN); err != nil {
				return err
			}
		}
		return nil
	})
	return &out, err
}

// filtered returns the entries that pass the filters and that the caller may list, oldest
// first.
func (m *Manager) filtered(tx *store.Tx, call *gateway.Call, filters []types.Filter, deleted bool) ([]types.SecretListEntry, error) {
	secrets, err := tx.Secrets()
	if err != nil {
		return nil, err
	}
	list := []types.SecretListEntry{}
	for _, s := range secrets {
		if !s.DeletedAt.IsZero() && (!deleted || !m.cfg.Now().Before(s.PurgeAt)) {
			continue
		}
		if ok, err := call.Permits(tx, gateway.Permission{Action: listSecrets, Resource: s.ARN}); err != nil {
			return nil, err
		} else if !ok {
			continue
		}
		e, err := entry(tx, s)
		if err != nil {
			return nil, err
		}
		if passes(e, filters) {
			list = append(list, e)
		}
	}
	return list, nil
}

// sorted returns a page of the entries in the requested order.
func sorted(p page.Pager, list []types.SecretListEntry, in *sdk.ListSecretsInput) ([]types.SecretListEntry, *string, error) {
	key := func(e types.SecretListEntry) []string { return []string{sortKey(e, in.SortBy), *e.ARN} }
	order := slices.Compare[[]string]
	if in.SortOrder == types.SortOrderTypeDesc {
		order = func(a, b []string) int { return slices.Compare(b, a) }
	}
	after, err := p.After(in.NextToken, 2)
	if err != nil {
		return nil, nil, errToken
	}
	slices.SortFunc(list, func(a, b types.SecretListEntry) int { return order(key(a), key(b)) })
	if in.NextToken != nil && *in.NextToken != "" {
		list = slices.DeleteFunc(list, func(e types.SecretListEntry) bool { return order(key(e), after) <= 0 })
	}
	list, next := page.Cut(p, list, key)
	return list, next, nil
}

// sortKey returns a text that sorts as the entry should.
func sortKey(e types.SecretListEntry, by types.SortByType) string {
	at := func(t *time.Time) string { return fmt.Sprintf("%020d", aws.ToTime(t).UnixNano()) }
	switch by {
	case types.SortByTypeName:
		return *e.Name
	case types.SortByTypeLastChangedDate:
		return at(e.LastChangedDate)
	case types.SortByTypeLastAccessedDate:
		if e.LastAccessedDate == nil {
			return ""
		}
		return at(e.LastAccessedDate)
	}
	return at(e.CreatedDate)
}

func checkFilters(filters []types.Filter) error {
	for _, f := range filters {
		if !slices.Contains(f.Key.Values(), f.Key) || len(f.Values) == 0 {
			return invalidParameter("Filters: each needs a Key of description, name, tag-key, tag-value, primary-region, owning-service or all, and Values.")
		}
	}
	return nil
}

// passes reports whether an entry passes every filter: one of its values must be
// the beginning of a text (of a word, for all but names and tags, without regard
// to case), or must not when it begins with an exclamation mark.
func passes(e types.SecretListEntry, filters []types.Filter) bool {
	for _, f := range filters {
		ok := slices.ContainsFunc(f.Values, func(v string) bool {
			if rest, not := strings.CutPrefix(v, "!"); not {
				return !matches(e, f.Key, rest)
			}
			return matches(e, f.Key, v)
		})
		if !ok {
			return false
		}
	}
	return true
}

func matches(e types.SecretListEntry, key types.FilterNameStringType, value string) bool {
	var keys, values []string
	for _, t := range e.Tags {
		keys, values = append(keys, *t.Key), append(values, *t.Value)
	}
	begins := func(s string) bool { return strings.HasPrefix(s, value) }
	switch key {
	case types.FilterNameStringTypeName:
		return begins(*e.Name)
	case types.FilterNameStringTypeDescription:
		return anyWord(aws.ToString(e.Description), value)
	case types.FilterNameStringTypeTagKey:
		return slices.ContainsFunc(keys, begins)
	case types.FilterNameStringTypeTagValue:
		return slices.ContainsFunc(values, begins)
	case types.FilterNameStringTypeAll:
		return anyWord(strings.Join(append(append(keys, values...), *e.Name, aws.ToString(e.Description)), " "), value)
	}
	return false // there is one region, and no owning services
}

// anyWord reports whether each word of value begins a word of text.
func anyWord(text, value string) bool {
	split := func(s string) []string {
		return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return strings.ContainsRune(" -/_+=.@!", r) })
	}
	words := split(text)
	for _, v := range split(value) {
		if !slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, v) }) {
			return false
		}
	}
	return true
}

func (m *Manager) batchGetSecretValue(ctx context.Context, call *gateway.Call, in *sdk.BatchGetSecretValueInput) (*sdk.BatchGetSecretValueOutput, error) {
	if (len(in.SecretIdList) == 0) == (len(in.Filters) == 0) {
		return nil, invalidParameter("Either 'SecretIdList' or 'Filters' must be provided, but not both.")
	}
	if err := checkFilters(in.Filters); err != nil {
		return nil, err
	}
	if len(in.SecretIdList) > 20 {
		return nil, invalidParameter("SecretIdList can have at most 20 entries.")
	}
	ids := in.SecretIdList
	out := sdk.BatchGetSecretValueOutput{SecretValues: []types.SecretValueEntry{}, Errors: []types.APIErrorType{}}
	list := &sdk.ListSecretsInput{Filters: in.Filters, MaxResults: in.MaxResults, NextToken: in.NextToken}
	err := m.cfg.Store.View(ctx, func(tx *store.Tx) error {
		if len(in.Filters) > 0 {
			p, err := pager(in.MaxResults, "BatchGetSecretValue", fmt.Sprint(in.Filters))
			if err != nil {
				return err
			}
			entries, err := m.filtered(tx, call, in.Filters, false)
			if err != nil {
				return err
			}
			if entries, out.NextToken, err = sorted(p, entries, list); err != nil {
				return err
			}
			for _, e := range entries {
				ids = append(ids, *e.ARN)
			}
		}
		for _, id := range ids {
			if err := m.appendValue(tx, call, id, &out); err != nil {
				return err
			}
		}
		return nil
	})
	return &out, err
}

// value returns the current value of a secret.
func (m *Manager) value(tx *store.Tx, id string) (*sdk.GetSecretValueOutput, error) {
	s, w, err := m.version(tx, &id, nil, nil)
	if err != nil {
		return nil, err
	}
	return m.show(s, w)
}

// appendValue adds a secret's value, or why there is none, to a batch.
func (m *Manager) appendValue(tx *store.Tx, call *gateway.Call, id string, out *sdk.BatchGetSecretValueOutput) error {
	arn, err := m.vault.Resource(tx, id)
	if err != nil {
		return err
	}
	var shown *sdk.GetSecretValueOutput
	if err = call.Require(tx, gateway.Permission{Action: secrets.ReadSecret, Resource: arn, Named: id}); err == nil {
		shown, err = m.value(tx, id)
	}
	if x, ok := errors.AsType[*wire.Exception](err); ok {
		out.Errors = append(out.Errors, types.APIErrorType{SecretId: &id, ErrorCode: &x.Name, Message: &x.Message})
		return nil
	}
	if err != nil {
		return err
	}
	out.SecretValues = append(out.SecretValues, types.SecretValueEntry{
		ARN: shown.ARN, Name: shown.Name, VersionId: shown.VersionId, VersionStages: shown.VersionStages,
		CreatedDate: shown.CreatedDate, SecretString: shown.SecretString, SecretBinary: shown.SecretBinary,
	})
	return nil
}
