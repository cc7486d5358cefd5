package ecr

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// Config is what the calls need.
type Config struct {
	Store   *store.Store
	Images  *image.Store
	Tokens  *Tokens
	Region  string // of ARNs and repository URIs
	Account string // twelve digits: the registry's id

	Endpoint string // the registry's URL as clients reach it

	// Pushed is called when a tag has been given an image, before the caller is
	// told. May be nil.
	Pushed func(ctx context.Context, repository, tag, digest string) error

	Now func() time.Time // time.Now when nil
}

// ECR are the calls.
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
	m := operations{}
	m.add("GetAuthorizationToken", operationOf(false, e.getAuthorizationToken).Requiring(gateway.OwnAction).Redacting("authorizationToken"))
	m.add("DescribeRegistry", operationOf(false, e.describeRegistry).Requiring(gateway.OwnAction))

	m.add("CreateRepository", operationOf(true, e.createRepository).Requiring(gateway.PermissionsOf(e.creating)))
	m.add("DescribeRepositories", operationOf(false, e.describeRepositories).Requiring(gateway.PermissionsOf(e.describing)))
	m.add("DeleteRepository", onRepository(e, true, e.deleteRepository))
	m.add("PutImageTagMutability", onRepository(e, true, e.putImageTagMutability))
	m.add("PutImageScanningConfiguration", onRepository(e, true, e.putImageScanningConfiguration))

	m.add("SetRepositoryPolicy", onRepository(e, true, e.setRepositoryPolicy))
	m.add("GetRepositoryPolicy", onRepository(e, false, e.getRepositoryPolicy))
	m.add("DeleteRepositoryPolicy", onRepository(e, true, e.deleteRepositoryPolicy))
	m.add("PutLifecyclePolicy", onRepository(e, true, e.putLifecyclePolicy))
	m.add("GetLifecyclePolicy", onRepository(e, false, e.getLifecyclePolicy))
	m.add("DeleteLifecyclePolicy", onRepository(e, true, e.deleteLifecyclePolicy))

	m.add("ListImages", onRepository(e, false, e.listImages))
	m.add("DescribeImages", onRepository(e, false, e.describeImages))
	m.add("BatchGetImage", onRepository(e, false, e.batchGetImage))
	m.add("BatchDeleteImage", onRepository(e, true, e.batchDeleteImage))
	m.add("PutImage", onRepository(e, true, e.putImage))
	m.add("BatchCheckLayerAvailability", onRepository(e, false, e.batchCheckLayerAvailability))

	m.add("TagResource", onARN(true, e.tagResource))
	m.add("UntagResource", onARN(true, e.untagResource))
	m.add("ListTagsForResource", onARN(false, e.listTagsForResource))
	return gateway.Service{
		SigningName: "ecr",
		ContentType: "application/x-amz-json-1.1",
		Internal:    "ServerException",
		Operations:  m,
	}
}

// operations are found by their target.
type operations map[string]gateway.Operation

func (m operations) add(name string, o gateway.Operation) {
	o.Name = name
	m["AmazonEC2ContainerRegistry_V20150921."+name] = o
}

// operationOf makes an operation of a handler, whose mistakes of the caller are
// called as ECR does.
func operationOf[I, O any](changes bool, h func(context.Context, gateway.Caller, *I) (*O, error)) gateway.Operation {
	return gateway.Handle("", nil, changes, func(ctx context.Context, c gateway.Caller, in *I) (*O, error) {
		out, err := h(ctx, c, in)
		if user, ok := errors.AsType[*slipway.Error](err); ok {
			err = wire.NewException("InvalidParameterException", user.Message)
		}
		return out, err
	})
}

// place is where a call takes place: a repository of a registry. Inputs embed
// it.
type place struct {
	RegistryID     *string `json:"registryId"` // ours when absent
	RepositoryName *string `json:"repositoryName"`
}

func (p place) at() string { return aws.ToString(p.RepositoryName) }

// onRepository makes an operation on one repository.
func onRepository[I, O any, P interface {
	*I
	at() string
}](e *ECR, changes bool, h func(context.Context, gateway.Caller, *I) (*O, error)) gateway.Operation {
	return operationOf(changes, h).Requiring(gateway.PermissionsOf(func(_ *store.Tx, in *I) ([]gateway.Permission, error) {
		return []gateway.Permission{{Resource: e.ARN(P(in).at()), Context: conditions(in)}}, nil
	}))
}

// onARN makes an operation on what an ARN names.
func onARN[I, O any, P interface {
	*I
	resource() string
}](changes bool, h func(context.Context, gateway.Caller, *I) (*O, error)) gateway.Operation {
	return operationOf(changes, h).Requiring(gateway.PermissionsOf(func(_ *store.Tx, in *I) ([]gateway.Permission, error) {
		return []gateway.Permission{{Resource: P(in).resource(), Context: conditions(in)}}, nil
	}))
}

// ARN returns the ARN of a repository.
func (e *ECR) ARN(repository string) string {
	return "arn:aws:ecr:" + e.cfg.Region + ":" + e.cfg.Account + ":repository/" + repository
}

// some is a pointer to v, nil to nothing.
func some[T comparable](v T) *T {
	var none T
	if v == none {
		return nil
	}
	return &v
}

// exception words a mistake of the caller by ECR's name for it.
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

func (e *ECR) describeRegistry(context.Context, gateway.Caller, *struct{}) (*describeRegistryOutput, error) {
	out := &describeRegistryOutput{RegistryID: e.cfg.Account}
	out.Replication.Rules = []struct{}{}
	return out, nil
}
