package api

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/tags"
	"github.com/openslipway/slipway/internal/store"
)

// tagsOf returns the tags of a call.
func tagsOf(in []types.Tag) []slipway.Tag {
	return tags.Of(in, func(t types.Tag) (key, value *string) { return t.Key, t.Value })
}

// tagRules returns App Runner's checks of tags beyond the model's, for a type of
// resource.
func tagRules(resource string) tags.Rules {
	return tags.Rules{
		Twice: func(t slipway.Tag) error {
			return slipway.Errorf(slipway.InvalidRequest, "Tags: the key %q is given twice.", t.Key)
		},
		Other: func(_ int, t slipway.Tag) error {
			_, err := slipway.ParseSettings(resource, []slipway.Tag{t})
			return err
		},
		TooMany: func(int) error {
			return slipway.Errorf(slipway.InvalidRequest, "Tags: a resource can have at most %d tags.", tags.Max)
		},
	}
}

// newTags returns the tags of a call for a type of resource after checking them.
func newTags(resource string, in []types.Tag) ([]slipway.Tag, error) {
	list := tagsOf(in)
	return list, tagRules(resource).Check(list)
}

// taggable maps the type in an ARN to a function that returns the full ARN of an
// existing resource. Only these types can have tags.
func (a *API) taggable() map[string]func(tx *store.Tx, text string) (string, error) {
	return map[string]func(*store.Tx, string) (string, error){
		"service": func(tx *store.Tx, text string) (string, error) {
			v, err := a.findLivingService(tx, text)
			return v.ARN, err
		},
		"connection": func(tx *store.Tx, text string) (string, error) {
			c, err := a.findConnection(tx, text)
			return c.ARN, err
		},
		vpcConnectorType: func(tx *store.Tx, text string) (string, error) {
			c, err := findActiveVPCConnector(tx, text)
			return c.ARN, err
		},
		vpcIngressType: func(tx *store.Tx, text string) (string, error) {
			c, err := findLivingVPCIngress(tx, text)
			return c.ARN, err
		},
		a.scalings.kind:        a.scalings.resolve,
		a.observabilities.kind: a.observabilities.resolve,
	}
}

// findTaggable returns the full ARN and the type of a resource that can have
// tags.
func (a *API) findTaggable(tx *store.Tx, text string) (arn, resource string, err error) {
	p, err := slipway.ParseARN(text)
	if err != nil {
		return "", "", err
	}
	find, ok := a.taggable()[p.Type]
	if !ok {
		return "", "", slipway.Errorf(slipway.NotFound, "Resource not found: %s", text)
	}
	arn, err = find(tx, text)
	return arn, p.Type, err
}

func (a *API) tagResource(ctx context.Context, call *gateway.Call, in *apprunner.TagResourceInput) (*apprunner.TagResourceOutput, error) {
	err := call.Update(ctx, func(tx *store.Tx) error {
		arn, resource, err := a.findTaggable(tx, *in.ResourceArn)
		if err != nil {
			return err
		}
		list, err := newTags(resource, in.Tags)
		if err != nil {
			return err
		}
		if err := tagRules(resource).Add(tx, arn, list); err != nil {
			return err
		}
		return checkTogether(tx, resource, arn)
	})
	return &apprunner.TagResourceOutput{}, err
}

func (a *API) untagResource(ctx context.Context, call *gateway.Call, in *apprunner.UntagResourceInput) (*apprunner.UntagResourceOutput, error) {
	err := call.Update(ctx, func(tx *store.Tx) error {
		arn, resource, err := a.findTaggable(tx, *in.ResourceArn)
		if err != nil {
			return err
		}
		if err := tx.DeleteTags(arn, in.TagKeys); err != nil {
			return err
		}
		return checkTogether(tx, resource, arn)
	})
	return &apprunner.UntagResourceOutput{}, err
}

// checkTogether refuses settings of a service that contradict each other.
func checkTogether(tx *store.Tx, resource, arn string) error {
	if resource != "service" {
		return nil
	}
	list, err := tx.Tags(arn)
	if err != nil {
		return err
	}
	return slipway.CheckTogether(list)
}

func (a *API) listTags(ctx context.Context, _ *gateway.Call, in *apprunner.ListTagsForResourceInput) (*apprunner.ListTagsForResourceOutput, error) {
	out := apprunner.ListTagsForResourceOutput{Tags: []types.Tag{}}
	err := a.cfg.Store.View(ctx, func(tx *store.Tx) error {
		arn, _, err := a.findTaggable(tx, *in.ResourceArn)
		if err != nil {
			return err
		}
		list, err := tx.Tags(arn)
		for _, t := range list {
			out.Tags = append(out.Tags, types.Tag{Key: &t.Key, Value: &t.Value})
		}
		return err
	})
	return &out, err
}
