package api_test

import (
	"path"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/secrets"
	"github.com/openslipway/slipway/internal/store"
)

const (
	secretPrefix = "arn:aws:secretsmanager:" + region + ":" + account + ":secret:"
	readSecret   = "secretsmanager:GetSecretValue"
	readValue    = "ssm:GetParameters"
	anyRole      = "arn:aws:iam::" + account + ":role/r"
)

// withVault lets services refer to secrets, as the server does.
func withVault(c *api.Config) {
	v := &secrets.Vault{Region: region, Account: account}
	c.SecretNeed = func(tx *store.Tx, reference string) (gateway.Permission, error) {
		action, arn, err := v.Need(tx, reference)
		return gateway.Permission{Action: action, Resource: arn}, err
	}
}

// newSecret inserts a secret and returns its ARN.
func newSecret(b *bench, name string) string {
	arn := secretPrefix + name + "-AbCdEf"
	b.Update(func(tx *store.Tx) error {
		return tx.InsertSecret(slipway.Secret{ARN: arn, Name: name, CreatedAt: t0})
	})
	return arn
}

// withReferences gives a service secrets, and the role that App Runner requires for it.
func withReferences(references map[string]string) func(*apprunner.CreateServiceInput) {
	return func(in *apprunner.CreateServiceInput) {
		in.InstanceConfiguration = &types.InstanceConfiguration{InstanceRoleArn: aws.String(anyRole)}
		in.SourceConfiguration.ImageRepository.ImageConfiguration = &types.ImageConfiguration{RuntimeEnvironmentSecrets: references}
	}
}

func buildSecret(reference string) types.Tag { return tag("slipway:build-secret.TOKEN", reference) }

// settle lets the service's operation end and returns its specification.
func settle(b *bench, arn string) (spec slipway.Spec) {
	b.end(arn, slipway.OperationSucceeded, slipway.StatusRunning)
	b.Update(func(tx *store.Tx) error {
		v, err := tx.Service(path.Base(arn))
		spec = v.Spec
		return err
	})
	return spec
}

// Whoever has a service read a secret must be allowed to read it. What is forbidden and
// what does not exist have the same answer.
func TestReferencesAreNeeds(t *testing.T) {
	t.Parallel()
	const denyBoth = `"Action":["` + readSecret + `","` + readValue + `"],"Resource":["` + secretPrefix + `db-*","` + secretPrefix + `gone-*","arn:aws:ssm:*:*:parameter/prod/*"]`
	const parameter = "arn:aws:ssm:" + region + ":" + account + ":parameter/prod/token"
	for name, reference := range map[string]string{
		"whole ARN":       secretPrefix + "db-AbCdEf",
		"short ARN":       secretPrefix + "db",
		"member":          secretPrefix + "db-AbCdEf:password::",
		"missing":         secretPrefix + "gone",
		"missing, whole":  secretPrefix + "gone-AbCdEf",
		"parameter":       "/prod/token",
		"parameter's ARN": parameter,
		"parameter, aged": "/prod/token:3",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root, ann := limited(t, denying(denyBoth), withVault, withCode)
			newSecret(root, "db")
			ann.refuse(newService("shop", withReferences(map[string]string{"V": reference})), "AccessDeniedException", "on resource: "+reference+" with")
			ann.refuse(newService("shop", withTags(buildSecret(reference))), "AccessDeniedException", "on resource: "+reference+" with")

			shop := invoke[apprunner.CreateServiceOutput](root, newService("shop")).Service
			ann.refuse(&apprunner.UpdateServiceInput{
				ServiceArn: shop.ServiceArn, SourceConfiguration: newService("shop", withReferences(map[string]string{"V": reference})).SourceConfiguration,
			}, "AccessDeniedException", "on resource: "+reference+" with")
			ann.refuse(&apprunner.TagResourceInput{ResourceArn: shop.ServiceArn, Tags: []types.Tag{buildSecret(reference)}}, "AccessDeniedException", "on resource: "+reference+" with")

			_, free := limited(t, allowAll, withVault)
			free.must(newService("shop", withReferences(map[string]string{"V": reference})))
		})
	}
}

// Whoever changes what runs has it tell the values of the references that were there
// before: these are needs too, and removing them is not.
func TestChangesNeedReferences(t *testing.T) {
	t.Parallel()
	root, ann := limited(t, denying(`"Action":"`+readSecret+`","Resource":"*"`), withVault)
	arn := newSecret(root, "db")
	refer := withReferences(map[string]string{"V": arn})
	made := func(name string, options ...func(*apprunner.CreateServiceInput)) *string {
		v := invoke[apprunner.CreateServiceOutput](root, newService(name, options...)).Service.ServiceArn
		settle(root, *v)
		return v
	}
	at := made("at-run", refer)
	built := made("at-build", func(in *apprunner.CreateServiceInput) {
		in.InstanceConfiguration = &types.InstanceConfiguration{InstanceRoleArn: aws.String(anyRole)}
	}, withTags(buildSecret(arn)))
	source := newService("x").SourceConfiguration
	command := newService("x", withImageConfiguration(types.ImageConfiguration{StartCommand: aws.String("env")})).SourceConfiguration
	for _, service := range []*string{at, built} {
		for _, in := range []any{
			&apprunner.UpdateServiceInput{ServiceArn: service, SourceConfiguration: source},
			&apprunner.UpdateServiceInput{ServiceArn: service, SourceConfiguration: command},
			&apprunner.UpdateServiceInput{ServiceArn: service, SourceConfiguration: &types.SourceConfiguration{AutoDeploymentsEnabled: aws.Bool(true)}},
			&apprunner.TagResourceInput{ResourceArn: service, Tags: []types.Tag{tag("slipway:build-env.PIP_INDEX_URL", "http://ann.example")}},
			&apprunner.UntagResourceInput{ResourceArn: service, TagKeys: []string{"slipway:dockerfile"}},
		} {
			ann.refuse(in, "AccessDeniedException", readSecret+" on resource: "+arn)
		}
		ann.must(&apprunner.TagResourceInput{ResourceArn: service, Tags: []types.Tag{tag("team", "red")}})
		ann.must(&apprunner.UpdateServiceInput{ServiceArn: service, InstanceConfiguration: &types.InstanceConfiguration{Cpu: aws.String("2048"), Memory: aws.String("4096")}})
		settle(root, *service)
	}
	without := newService("x", withImageConfiguration(types.ImageConfiguration{RuntimeEnvironmentSecrets: map[string]string{}})).SourceConfiguration
	ann.must(&apprunner.UpdateServiceInput{ServiceArn: at, SourceConfiguration: without})
}

// The user who last set the source is the one whose right counts in deployments.
func TestSourceIsSetBy(t *testing.T) {
	t.Parallel()
	root, ann := limited(t, allowAll, withVault)
	arn := *invoke[apprunner.CreateServiceOutput](ann, newService("shop")).Service.ServiceArn
	by := func(want string) {
		t.Helper()
		if got := settle(root, arn).SourceSetBy; got != want {
			t.Errorf("the source is set by %q, want %q", got, want)
		}
	}
	by("AIDAANN")
	root.must(&apprunner.UpdateServiceInput{ServiceArn: &arn, InstanceConfiguration: &types.InstanceConfiguration{Memory: aws.String("3072")}})
	by("AIDAANN")
	root.must(&apprunner.UpdateServiceInput{ServiceArn: &arn, SourceConfiguration: newService("x").SourceConfiguration})
	by("")
}

// Whoever has a service run an image of this registry reads it, so they need ECR's
// permissions; also if a call leaves the image as it is.
func TestImagesAreNeeds(t *testing.T) {
	t.Parallel()
	const hidden, arn = "000000000000.dkr.ecr.us-east-1.amazonaws.com/secret/base:1", "arn:aws:ecr:" + region + ":" + account + ":repository/secret/base"
	withRegistry := func(c *api.Config) {
		c.ImageNeeds = func(ref string) ([]gateway.Permission, error) {
			if ref != hidden {
				return nil, nil
			}
			return []gateway.Permission{{Action: "ecr:BatchGetImage", Resource: arn}, {Action: "ecr:GetDownloadUrlForLayer", Resource: arn}}, nil
		}
	}
	of := func(identifier string) *types.SourceConfiguration {
		return &types.SourceConfiguration{ImageRepository: &types.ImageRepository{ImageIdentifier: &identifier, ImageRepositoryType: types.ImageRepositoryTypeEcr}}
	}
	for _, action := range []string{"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"} {
		root, ann := limited(t, denying(`"Action":"`+action+`","Resource":"`+arn+`"`), withRegistry)
		want := action + " on resource: " + arn
		ann.refuse(newService("shop", withSource(of(hidden))), "AccessDeniedException", want)
		other, own := root.create("other"), root.create("mine", withSource(of(hidden)))
		ann.refuse(&apprunner.UpdateServiceInput{ServiceArn: &other, SourceConfiguration: of(hidden)}, "AccessDeniedException", want)
		ann.refuse(&apprunner.UpdateServiceInput{ServiceArn: &own, SourceConfiguration: &types.SourceConfiguration{AutoDeploymentsEnabled: aws.Bool(true)}}, "AccessDeniedException", want)
		ann.must(&apprunner.UpdateServiceInput{ServiceArn: &own, InstanceConfiguration: &types.InstanceConfiguration{Memory: aws.String("3072")}})
		ann.must(newService("shop"))
	}
}
