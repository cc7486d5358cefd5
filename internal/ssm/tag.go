package ssm

import (
	"context"
	"errors"

	sdk "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/tags"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// tagsOf returns the tags of a call.
func tagsOf(in []types.Tag) []slipway.Tag {
	return tags.Of(in, func(t types.Tag) (key, value *string) { return t.Key, t.Value })
}

// tagRules are Parameter Store's checks of tags.
func tagRules() tags.Rules {
	return tags.Rules{
		Length: func(slipway.Tag) error {
			return invalid("Tags: a key has 1 to 128 characters and a value at most 256.")
		},
		Reserved: func(slipway.Tag) error { return invalid("Tags: the prefix aws: is reserved.") },
		TooMany: func(int) error {
			return wire.NewException("TooManyTagsError", "A parameter can have at most 50 tags.")
		},
	}
}

// newTags returns the tags of a call after checking them.
func newTags(in []types.Tag) ([]slipway.Tag, error) {
	list := tagsOf(in)
	return list, tagRules().Check(list)
}

// taggable returns the ARN of the resource that a call is about.
func (p *Parameters) taggable(tx *store.Tx, kind types.ResourceTypeForTagging, id *string) (string, error) {
	if id == nil {
		return "", required("resourceId")
	}
	if kind != types.ResourceTypeForTaggingParameter {
		return "", wire.NewException("InvalidResourceType", "The only resource type of this server is Parameter.")
	}
	v, err := p.findWhole(tx, id)
	if errors.Is(err, errNoParameter) {
		err = wire.NewException("InvalidResourceId", "The resource ID is not valid. Verify that you entered the correct ID and try again.")
	}
	return p.vault.ParameterARN(v.Name), err
}

func (p *Parameters) addTags(ctx context.Context, call *gateway.Call, in *sdk.AddTagsToResourceInput) (*sdk.AddTagsToResourceOutput, error) {
	list, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	return &sdk.AddTagsToResourceOutput{}, call.Update(ctx, func(tx *store.Tx) error {
		arn, err := p.taggable(tx, in.ResourceType, in.ResourceId)
		if err != nil {
			return err
		}
		return tagRules().Add(tx, arn, list)
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
		list, err := tx.Tags(arn)
		for _, t := range list {
			out.TagList = append(out.TagList, types.Tag{Key: &t.Key, Value: &t.Value})
		}
		return err
	})
	return &out, err
}
