package secretsmanager

import (
	"context"
	"encoding/json"
	"fmt"

	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/tags"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

const maxPolicy = 20480 // bytes

// tagsOf returns the tags of a call.
func tagsOf(in []types.Tag) []slipway.Tag {
	return tags.Of(in, func(t types.Tag) (key, value *string) { return t.Key, t.Value })
}

// tagRules are Secrets Manager's checks of tags.
func tagRules() tags.Rules {
	return tags.Rules{
		Length: func(slipway.Tag) error {
			return invalidParameter("Tags: a key has 1 to 128 characters and a value at most 256.")
		},
		Reserved: func(slipway.Tag) error { return invalidParameter("Tags: the prefix aws: is reserved.") },
		Twice: func(t slipway.Tag) error {
			return invalidParameter(fmt.Sprintf("Tags: the key %q is given twice.", t.Key))
		},
		TooMany: func(int) error {
			return invalidParameter(fmt.Sprintf("Tags: a secret can have at most %d tags.", tags.Max))
		},
	}
}

// newTags returns the tags of a call after checking them.
func newTags(in []types.Tag) ([]slipway.Tag, error) {
	list := tagsOf(in)
	return list, tagRules().Check(list)
}

func (m *Manager) tagResource(ctx context.Context, call *gateway.Call, in *sdk.TagResourceInput) (*sdk.TagResourceOutput, error) {
	if in.Tags == nil {
		return nil, required("tags")
	}
	list, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	return &sdk.TagResourceOutput{}, call.Update(ctx, func(tx *store.Tx) error {
		s, err := m.findLiving(tx, in.SecretId)
		if err != nil {
			return err
		}
		return tagRules().Add(tx, s.ARN, list)
	})
}

func (m *Manager) untagResource(ctx context.Context, call *gateway.Call, in *sdk.UntagResourceInput) (*sdk.UntagResourceOutput, error) {
	if in.TagKeys == nil {
		return nil, required("tagKeys")
	}
	return &sdk.UntagResourceOutput{}, call.Update(ctx, func(tx *store.Tx) error {
		s, err := m.findLiving(tx, in.SecretId)
		if err != nil {
			return err
		}
		return tx.DeleteTags(s.ARN, in.TagKeys)
	})
}

// getResourcePolicy returns the policy as text. It is not enforced: only the
// policies of users decide who may read a secret.
func (m *Manager) getResourcePolicy(ctx context.Context, _ *gateway.Call, in *sdk.GetResourcePolicyInput) (*sdk.GetResourcePolicyOutput, error) {
	var out sdk.GetResourcePolicyOutput
	err := m.cfg.Store.View(ctx, func(tx *store.Tx) error {
		s, err := m.find(tx, in.SecretId)
		out.ARN, out.Name = &s.ARN, &s.Name
		if s.Policy != "" {
			out.ResourcePolicy = &s.Policy
		}
		return err
	})
	return &out, err
}

func (m *Manager) putResourcePolicy(ctx context.Context, call *gateway.Call, in *sdk.PutResourcePolicyInput) (*sdk.PutResourcePolicyOutput, error) {
	if in.ResourcePolicy == nil {
		return nil, required("resourcePolicy")
	}
	if !json.Valid([]byte(*in.ResourcePolicy)) || len(*in.ResourcePolicy) > maxPolicy {
		return nil, wire.NewException("MalformedPolicyDocumentException", "This resource policy contains a syntax error.")
	}
	s, err := m.setPolicy(ctx, call, in.SecretId, *in.ResourcePolicy)
	return &sdk.PutResourcePolicyOutput{ARN: &s.ARN, Name: &s.Name}, err
}

func (m *Manager) deleteResourcePolicy(ctx context.Context, call *gateway.Call, in *sdk.DeleteResourcePolicyInput) (*sdk.DeleteResourcePolicyOutput, error) {
	s, err := m.setPolicy(ctx, call, in.SecretId, "")
	return &sdk.DeleteResourcePolicyOutput{ARN: &s.ARN, Name: &s.Name}, err
}

func (m *Manager) setPolicy(ctx context.Context, call *gateway.Call, id *string, policy string) (s slipway.Secret, err error) {
	err = call.Update(ctx, func(tx *store.Tx) error {
		if s, err = m.findLiving(tx, id); err != nil {
			return err
		}
		s.Policy = policy
		return tx.SaveSecret(s)
	})
	return s, err
}
