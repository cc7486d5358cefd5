package ecr

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/strictjson"
)

// A repository's policy is stored and shown, not enforced: see the package's
// comment.

type setRepositoryPolicyInput struct {
	repositoryRef
	Text  *string `json:"policyText"`
	Force bool    `json:"force"`
}

type repositoryPolicyOutput struct {
	RegistryID string `json:"registryId"`
	Name       string `json:"repositoryName"`
	Text       string `json:"policyText"`
}

// maxPolicy is the maximum size of a policy in bytes, as in ECR.
const maxPolicy = 10_240

func (e *ECR) setRepositoryPolicy(ctx context.Context, call *gateway.Call, in *setRepositoryPolicyInput) (*repositoryPolicyOutput, error) {
	var doc struct{ Statement any }
	text := aws.ToString(in.Text)
	if err := strictjson.Unmarshal([]byte(text), &doc); err != nil || doc.Statement == nil || len(text) > maxPolicy {
		return nil, invalid("PolicyText", "Invalid repository policy provided: it must be a JSON policy document with a Statement and no member named twice, of at most %d bytes", maxPolicy)
	}
	r, err := e.change(ctx, call, in.repositoryRef, func(r *slipway.Repository) error { r.Policy = text; return nil })
	return &repositoryPolicyOutput{e.cfg.Account, r.Name, r.Policy}, err
}

// repositoryInput is the input of calls that take only a repository.
type repositoryInput struct{ repositoryRef }

func (e *ECR) noPolicy(name string) error {
	return exception("RepositoryPolicyNotFoundException", "Repository policy does not exist for the repository with name '%s' in the registry with id '%s'", name, e.cfg.Account)
}

func (e *ECR) getRepositoryPolicy(ctx context.Context, _ *gateway.Call, in *repositoryInput) (*repositoryPolicyOutput, error) {
	r, err := e.read(ctx, in.repositoryRef)
	if err == nil && r.Policy == "" {
		err = e.noPolicy(r.Name)
	}
	return &repositoryPolicyOutput{e.cfg.Account, r.Name, r.Policy}, err
}

func (e *ECR) deleteRepositoryPolicy(ctx context.Context, call *gateway.Call, in *repositoryInput) (*repositoryPolicyOutput, error) {
	text := ""
	r, err := e.change(ctx, call, in.repositoryRef, func(r *slipway.Repository) error {
		if r.Policy == "" {
			return e.noPolicy(r.Name)
		}
		text, r.Policy = r.Policy, ""
		return nil
	})
	return &repositoryPolicyOutput{e.cfg.Account, r.Name, text}, err
}

type putLifecyclePolicyInput struct {
	repositoryRef
	Text *string `json:"lifecyclePolicyText"`
}

type lifecyclePolicyOutput struct {
	RegistryID string     `json:"registryId"`
	Name       string     `json:"repositoryName"`
	Text       string     `json:"lifecyclePolicyText"`
	Evaluated  *time.Time `json:"lastEvaluatedAt"`
}

func (e *ECR) putLifecyclePolicy(ctx context.Context, call *gateway.Call, in *putLifecyclePolicyInput) (*lifecyclePolicyOutput, error) {
	text := aws.ToString(in.Text)
	if _, err := parseLifecycle(text); err != nil {
		return nil, invalid("LifecyclePolicyText", "Lifecycle policy validation failure: %v", err)
	}
	r, err := e.change(ctx, call, in.repositoryRef, func(r *slipway.Repository) error {
		r.Lifecycle, r.LifecycleAt = text, time.Time{}
		return nil
	})
	return e.lifecycle(r), err
}

func (e *ECR) lifecycle(r slipway.Repository) *lifecyclePolicyOutput {
	return &lifecyclePolicyOutput{e.cfg.Account, r.Name, r.Lifecycle, some(r.LifecycleAt)}
}

func (e *ECR) noLifecycle(name string) error {
	return exception("LifecyclePolicyNotFoundException", "Lifecycle policy does not exist for the repository with name '%s' in the registry with id '%s'", name, e.cfg.Account)
}

func (e *ECR) getLifecyclePolicy(ctx context.Context, _ *gateway.Call, in *repositoryInput) (*lifecyclePolicyOutput, error) {
	r, err := e.read(ctx, in.repositoryRef)
	if err == nil && r.Lifecycle == "" {
		err = e.noLifecycle(r.Name)
	}
	return e.lifecycle(r), err
}

func (e *ECR) deleteLifecyclePolicy(ctx context.Context, call *gateway.Call, in *repositoryInput) (*lifecyclePolicyOutput, error) {
	var was slipway.Repository
	_, err := e.change(ctx, call, in.repositoryRef, func(r *slipway.Repository) error {
		if r.Lifecycle == "" {
			return e.noLifecycle(r.Name)
		}
		was = *r
		r.Lifecycle, r.LifecycleAt = "", time.Time{}
		return nil
	})
	return e.lifecycle(was), err
}
