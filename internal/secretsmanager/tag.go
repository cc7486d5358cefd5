package secretsmanager

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

const (
	maxTags   = 50
	maxPolicy = 20480 // bytes
)

func newTags(in []types.Tag) ([]slipway.Tag, error) {
	tags := make([]slipway.Tag, 0, len(in))
	seen := map[string]bool{}
	for _, t := range in {
		key := aws.ToString(t.Key)
		switch {
		case key == "" || len([]rune(key)) > 128 || len([]rune(aws.ToString(t.Value))) > 256:
			return nil, invalidParameter("Tags: a key has 1 to 128 characters and a value at most 256.")
		case strings.HasPrefix(key, "aws:"):
			return nil, invalidParameter("Tags: the prefix aws: is reserved.")
		case seen[key]:
			return nil, invalidParameter(fmt.Sprintf("Tags: the key %q is given twice.", key))
		}
		seen[key] = true
		tags = append(tags, slipway.Tag{Key: key, Value: aws.ToString(t.Value)})
	}
	if len(tags) > maxTags {
		return nil, errTooManyTags()
	}
	return tags, nil
}

func errTooManyTags() error {
	return invalidParameter(fmt.Sprintf("Tags: a secret can have at most %d tags.", maxTags))
}

func (m *Manager) tagResource(ctx context.Context, call *gateway.Call, in *sdk.TagResourceInput) (*sdk.TagResourceOutput, error) {
	if in.Tags == nil {
		return nil, required("tags")
	}
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	return &sdk.TagResourceOutput{}, call.Update(ctx, func(tx *store.Tx) error {
		s, err := m.findLiving(tx, in.SecretId)
		if err != nil {
			return err
		}
		if err := tx.SetTags(s.ARN, tags); err != nil {
			return err
		}
		n, err := tx.CountTags(s.ARN)
		if err == nil && n > maxTags {
			err = errTooManyTags()
		}
		return err
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

// getResourcePolicy gives back the policy as text. Who may read a secret is
// decided by the policies of users alone.
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
