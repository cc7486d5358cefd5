package ecr

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// Config configures the calls.
type Config struct {
	Store   *store.Store
	Images  *image.Store
	Tokens  *Tokens
	Region  string // of ARNs and repository URIs
	Account string // twelve digits: the registry's id

	Endpoint string // the registry's URL as clients reach it

	// Pushed is called after a tag got an image, before the reply. It may be
	// nil.
	Pushed func(ctx context.Context, repository, tag, digest string) error

	Now func() time.Time // time.Now when nil
}

// ECR holds the calls.
type ECR struct{ cfg Config }

// New checks cfg and returns the calls.
func New(cfg Config) (*ECR, error) {
	if cfg.Store == nil || cfg.Images == nil || cfg.Tokens == nil || cfg.Endpoint == "" || cfg.Region == "" || cfg.Account == "" {
		return nil, errors.New("ecr: store, images, tokens, endpoint, region and account are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &ECR{cfg}, nil
}

// Service returns the operations for the gateway.
func (e *ECR) Service() gateway.Service {
	return gateway.Service{
		Name:     "ecr",
		Internal: "ServerException",
		Invalid:  "InvalidParameterException",
		Protocol: gateway.Protocol{ContentType: "application/x-amz-json-1.1", Targets: []string{"AmazonEC2ContainerRegistry_V20150921."}},
		Operations: []gateway.Operation{
			gateway.Read("GetAuthorizationToken", e.getAuthorizationToken, gateway.AnyResource).Redacting("authorizationToken").Revealing(),
			gateway.Read("DescribeRegistry", e.describeRegistry, gateway.AnyResource),

			gateway.Mutate("CreateRepository", e.createRepository, e.createRepositoryPermissions),
			gateway.Read("DescribeRepositories", e.describeRepositories, e.describeRepositoriesPermissions),
			gateway.Mutate("DeleteRepository", e.deleteRepository, onRepository(e, (*deleteRepositoryInput).name)),
			gateway.Mutate("PutImageTagMutability", e.putImageTagMutability, onRepository(e, (*putImageTagMutabilityInput).name)),
			gateway.Mutate("PutImageScanningConfiguration", e.putImageScanningConfiguration, onRepository(e, (*putImageScanningConfigurationInput).name)),

			gateway.Mutate("SetRepositoryPolicy", e.setRepositoryPolicy, onRepository(e, (*setRepositoryPolicyInput).name)),
			gateway.Read("GetRepositoryPolicy", e.getRepositoryPolicy, onRepository(e, (*repositoryInput).name)),
			gateway.Mutate("DeleteRepositoryPolicy", e.deleteRepositoryPolicy, onRepository(e, (*repositoryInput).name)),
			gateway.Mutate("PutLifecyclePolicy", e.putLifecyclePolicy, onRepository(e, (*putLifecyclePolicyInput).name)),
			gateway.Read("GetLifecyclePolicy", e.getLifecyclePolicy, onRepository(e, (*repositoryInput).name)),
			gateway.Mutate("DeleteLifecyclePolicy", e.deleteLifecyclePolicy, onRepository(e, (*repositoryInput).name)),

			gateway.Read("ListImages", e.listImages, onRepository(e, (*listImagesInput).name)),
			gateway.Read("DescribeImages", e.describeImages, onRepository(e, (*describeImagesInput).name)),
			gateway.Read("BatchGetImage", e.batchGetImage, onRepository(e, (*batchGetImageInput).name)),
			gateway.Mutate("BatchDeleteImage", e.batchDeleteImage, onRepository(e, (*batchDeleteImageInput).name)),
			gateway.Mutate("PutImage", e.putImage, onRepository(e, (*putImageInput).name)),
			gateway.Read("BatchCheckLayerAvailability", e.batchCheckLayerAvailability, onRepository(e, (*batchCheckLayerAvailabilityInput).name)),

			gateway.Mutate("TagResource", e.tagResource, onARN((*tagResourceInput).resource)),
			gateway.Mutate("UntagResource", e.untagResource, onARN((*untagResourceInput).resource)),
			gateway.Read("ListTagsForResource", e.listTagsForResource, onARN((*listTagsForResourceInput).resource)),
		},
	}
}

// repositoryRef names the repository of a call. Inputs embed it.
type repositoryRef struct {
	RegistryID     *string `json:"registryId"` // this account if absent
	RepositoryName *string `json:"repositoryName"`
}

func (r repositoryRef) name() string { return aws.ToString(r.RepositoryName) }

// onRepository returns the permission required by an operation on one repository,
// which the input names.
func onRepository[I any](e *ECR, name func(*I) string) gateway.Permissions[I] {
	return func(_ *store.Tx, in *I) ([]gateway.Permission, error) {
		return []gateway.Permission{{Resource: e.ARN(name(in)), Context: conditions(in)}}, nil
	}
}

// onARN returns the permission required by an operation on one resource, whose
// ARN is in the input.
func onARN[I any](arn func(*I) string) gateway.Permissions[I] {
	return func(_ *store.Tx, in *I) ([]gateway.Permission, error) {
		return []gateway.Permission{{Resource: arn(in), Context: conditions(in)}}, nil
	}
}

// ARN returns the ARN of a repository.
func (e *ECR) ARN(repository string) string {
	return RepositoryARN(e.cfg.Region, e.cfg.Account, repository)
}

// RepositoryARN returns the ARN of a repository of an account in a region.
func RepositoryARN(region, account, repository string) string {
	return "arn:aws:ecr:" + region + ":" + account + ":repository/" + repository
}

// some returns a pointer to v, or nil for the zero value.
func some[T comparable](v T) *T {
	var none T
	if v == none {
		return nil
	}
	return &v
}

// exception returns an ECR exception for a caller's mistake.
func exception(name, format string, args ...any) error {
	return wire.NewException(name, fmt.Sprintf(format, args...))
}

func invalid(member, constraint string, args ...any) error {
	return exception("InvalidParameterException", "Invalid parameter at '%s' failed to satisfy constraint: '%s'", member, fmt.Sprintf(constraint, args...))
}

// describeRegistryOutput is the output of DescribeRegistry, which has no input.
type describeRegistryOutput struct {
	RegistryID  string `json:"registryId"`
	Replication struct {
		Rules []struct{} `json:"rules"`
	} `json:"replicationConfiguration"`
}

func (e *ECR) describeRegistry(context.Context, *gateway.Call, *struct{}) (*describeRegistryOutput, error) {
	out := &describeRegistryOutput{RegistryID: e.cfg.Account}
	out.Replication.Rules = []struct{}{}
	return out, nil
}
