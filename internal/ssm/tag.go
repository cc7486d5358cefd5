package ssm

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

const maxTags = 50

func newTags(in []types.Tag) ([]slipway.Tag, error) {
	tags := make([]slipway.Tag, 0, len(in))
	for _, t := range in {
		key, value := aws.ToString(t.Key), aws.ToString(t.Value)
		switch {
		case key == "" || len([]rune(key)) > 128 || len([]rune(value)) > 256:
			return nil, invalid("Tags: a key has 1 to 128 characters and a value at most 256.")
		case strings.HasPrefix(key, "aws:"):
			return nil, invalid("Tags: the prefix aws: is reserved.")
		}
		tags = append(tags, slipway.Tag{Key: key, Value: value})
	}
	if len(tags) > maxTags {
		return nil, tooManyTags()
	}
	return tags, nil
}

func tooManyTags() error {
	return wire.NewException("TooManyTagsError", "A parameter can have at most 50 tags.")
}

// taggable returns the ARN of the resource that a call is about.
func (p *Parameters) taggable(tx *store.Tx, kind types.ResourceTypeForTagging, id *string) (string, error) {
	if id == nil {
		return "", required("resourceId")
	}
	if kind != types.ResourceTypeForTaggingParameter {
		return "", wire.NewException("InvalidResourceType", "This server has resources of the type Parameter alone.")
	}
	v, err := p.find(tx, id)
	if errors.Is(err, errNoParameter) {
		err = wire.NewException("InvalidResourceId", "The resource ID is not valid. Verify that you entered the correct ID and try again.")
	}
	return p.vault.ParameterARN(v.Name), err
}

func (p *Parameters) addTags(ctx context.Context, call *gateway.Call, in *sdk.AddTagsToResourceInput) (*sdk.AddTagsToResourceOutput, error) {
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	return &sdk.AddTagsToResourceOutput{}, call.Update(ctx, func(tx *store.Tx) error {
		arn, err := p.taggable(tx, in.ResourceType, in.ResourceId)
		if err != nil {
			return err
		}
		if err := tx.SetTags(arn, tags); err != nil {
			return err
		}
		n, err := tx.CountTags(arn)
		if err == nil && n > maxTags {
			err = tooManyTags()
		}
		return err
	})
}

func (p *Parameters) removeTags(ctx context.Context, call *gateway.Call, in *sdk.RemoveTagsFromResourceInput) (*sdk.RemoveTagsFromResourceOutput, error) {
	return &sdk.RemoveTagsFromResourceOutput{}, call.Update(ctx, func(tx *store.Tx) error {
		arn, err := p.taggable(tx, in.ResourceType, in.ResourceId)
		if err != nil {
			return err
		}
		return tx.DeleteTags(arn, in.TagKeys)
	})
}

func (p *Parameters) listTags(ctx context.Context, _ *gateway.Call, in *sdk.ListTagsForResourceInput) (*sdk.ListTagsForResourceOutput, error) {
	out := sdk.ListTagsForResourceOutput{TagList: []types.Tag{}}
	err := p.cfg.Store.View(ctx, func(tx *store.Tx) error {
		arn, err := p.taggable(tx, in.ResourceType, in.ResourceId)
		if err != nil {
			return err
		}
		tags, err := tx.Tags(arn)
		for _, t := range tags {
			out.TagList = append(out.TagList, types.Tag{Key: &t.Key, Value: &t.Value})
		}
		return err
	})
	return &out, err
}
