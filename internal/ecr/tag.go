package ecr

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/tags"
	"github.com/openslipway/slipway/internal/policy"
	"github.com/openslipway/slipway/internal/store"
)

// tag is a tag of a repository, not of an image.
type tag struct {
	Key   string
	Value string
}

// tagRules are ECR's checks of tags.
func tagRules() tags.Rules {
	invalid := func(t slipway.Tag) error {
		return exception("InvalidTagParameterException", "Tag %q: a key has 1 to 128 characters and does not begin with aws:, a value has at most 256", t.Key)
	}
	return tags.Rules{
		Length: invalid, Reserved: invalid,
		TooMany: func(n int) error {
			return exception("TooManyTagsException", "The resource would have %d tags; at most %d are allowed", n, tags.Max)
		},
	}
}

// tagsOf returns the tags of a call.
func tagsOf(in []tag) []slipway.Tag {
	return tags.Of(in, func(t tag) (key, value *string) { return &t.Key, &t.Value })
}

// setTags adds tags to a repository.
func setTags(tx *store.Tx, arn string, in []tag) error {
	list := tagsOf(in)
	if err := tagRules().CheckEach(list); err != nil {
		return err
	}
	return tagRules().Add(tx, arn, list)
}

// named is the input of calls that name a repository by ARN.
type named struct {
	ARN *string `json:"resourceArn"`
}

func (n named) resource() string { return aws.ToString(n.ARN) }

// repositoryOf returns the repository that the ARN names.
func (e *ECR) repositoryOf(n named) (repositoryRef, error) {
	name, ok := strings.CutPrefix(aws.ToString(n.ARN), e.ARN(""))
	if !ok {
		return repositoryRef{}, invalid("resourceArn", "must be the ARN of a repository, as %s", e.ARN("NAME"))
	}
	return repositoryRef{RepositoryName: &name}, nil
}

type tagResourceInput struct {
	named
	Tags []tag `json:"tags"`
}

type untagResourceInput struct {
	named
	Keys []string `json:"tagKeys"`
}

type listTagsForResourceInput struct{ named }

type listTagsForResourceOutput struct {
	Tags []tag `json:"tags"`
}

// conditions returns the condition keys of the tags that a call sets or removes.
func conditions(in any) policy.Context {
	switch in := in.(type) {
	case *createRepositoryInput:
		return tags.Set(tagsOf(in.Tags))
	case *tagResourceInput:
		return tags.Set(tagsOf(in.Tags))
	case *untagResourceInput:
		return tags.Removed(in.Keys)
	}
	return policy.NewContext()
}

// tagged runs f in a transaction after checking that the repository exists.
func (e *ECR) tagged(ctx context.Context, n named, run transaction, f func(tx *store.Tx, arn string) error) error {
	ref, err := e.repositoryOf(n)
	if err != nil {
		return err
	}
	return e.withRepository(ctx, ref, run, func(tx *store.Tx, _ slipway.Repository) error { return f(tx, *n.ARN) })
}

func (e *ECR) tagResource(ctx context.Context, call *gateway.Call, in *tagResourceInput) (*struct{}, error) {
	return &struct{}{}, e.tagged(ctx, in.named, call.Update, func(tx *store.Tx, arn string) error { return setTags(tx, arn, in.Tags) })
}

func (e *ECR) untagResource(ctx context.Context, call *gateway.Call, in *untagResourceInput) (*struct{}, error) {
	return &struct{}{}, e.tagged(ctx, in.named, call.Update, func(tx *store.Tx, arn string) error { return tx.DeleteTags(arn, in.Keys) })
}

func (e *ECR) listTagsForResource(ctx context.Context, _ *gateway.Call, in *listTagsForResourceInput) (*listTagsForResourceOutput, error) {
	out := &listTagsForResourceOutput{Tags: []tag{}}
	err := e.tagged(ctx, in.named, e.cfg.Store.View, func(tx *store.Tx, arn string) error {
		list, err := tx.Tags(arn)
		for _, t := range list {
			out.Tags = append(out.Tags, tag(t))
		}
		return err
	})
	return out, err
}
