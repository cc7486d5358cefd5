package api_test

import (
	"path"
	"strings"
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
		return gateway.Permission{Action: action, Resource: arn, Named: reference}, err
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

// Lists decide about each thing: what is denied is not in them, page by page.
func TestShown(t *testing.T) {
	t.Parallel()
	root, ann := limited(t, denying(`"Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/level":"high"}}`), withProviders)
	high := tag("level", "high")
	for _, name := range []string{"shop-1", "high-1", "shop-2", "high-2"} {
		var tags []types.Tag
		if strings.HasPrefix(name, "high") {
			tags = []types.Tag{high}
		}
		service := root.create(name, withTags(tags...), withNetwork(types.NetworkConfiguration{IngressConfiguration: &types.IngressConfiguration{}}))
		scaling, observed, connected := newScaling(name), newObservability(name), newConnection(name)
		scaling.Tags, observed.Tags, connected.Tags = tags, tags, tags
		connector, ingress := newConnector(name, "subnet-1"), newIngress(name, service, "vpce-1")
		connector.Tags, ingress.Tags = tags, tags
		for _, in := range []any{scaling, observed, connected, connector, ingress} {
			root.must(in)
		}
	}
	for operation, own := range map[string]int{
		"ListServices": 0, "ListAutoScalingConfigurations": 1, "ListObservabilityConfigurations": 1, "ListConnections": 0,
		"ListVpcConnectors": 0, "ListVpcIngressConnections": 0,
		"ListServicesForAutoScalingConfiguration": 0,
	} {
		for _, most := range []string{"1", "2", "20"} {
			if got := entries(t, ann, operation, most); got != 2+own {
				t.Errorf("%s by %s lists %d to ann, want %d", operation, most, got, 2+own)
			}
			if got := entries(t, root, operation, most); got != 4+own {
				t.Errorf("%s by %s lists %d to root, want %d", operation, most, got, 4+own)
			}
		}
	}
}

// entries counts the entries of all pages of a list.
func entries(t *testing.T, b *bench, operation, most string) (n int) {
	t.Helper()
	query := ""
	if operation == "ListServicesForAutoScalingConfiguration" {
		query = `,"AutoScalingConfigurationArn":"` + defaultScaling + `"`
	}
	for next := ""; ; {
		w := b.call(operation, `{"MaxResults":`+most+next+query+`}`)
		if w.Code != 200 {
			t.Fatalf("%s: %s", operation, w.Body)
		}
		for _, v := range w.Doc {
			if list, ok := v.([]any); ok {
				n += len(list)
			}
		}
		token, ok := w.Doc["NextToken"].(string)
		if !ok {
			return n
		}
		next = `,"NextToken":"` + token + `"`
	}
}

// A Deny on a connection by its whole ARN or by its tags applies to calls that name it.
func TestConnectionsByName(t *testing.T) {
	t.Parallel()
	root, ann := limited(t, denying(`"Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/level":"high"}}`), withProviders)
	in := newConnection("prod")
	in.Tags = []types.Tag{tag("level", "high")}
	root.must(in)
	name := aws.String("prod")
	for _, in := range []any{
		&api.CompleteConnectionInput{ConnectionName: name, Token: aws.String("t")}, &api.DescribeCodeConnectionInput{ConnectionName: name},
		&api.PutConnectionWebhookInput{ConnectionName: name}, &api.DescribeConnectionWebhookInput{ConnectionName: name}, &api.DeleteConnectionWebhookInput{ConnectionName: name},
	} {
		ann.refuse(in, "AccessDeniedException", "on resource: "+prefix+"connection/prod/* with an explicit deny")
		if _, err := root.Invoke("apprunner:"+operationOf(in), in); err != nil && strings.Contains(err.Error(), "AccessDenied") {
			t.Error(err)
		}
	}
}

// A Deny on a connection holds for updates that read other code with the connection that
// the service has.
func TestConnectionThatStays(t *testing.T) {
	t.Parallel()
	root, ann := limited(t, denying(`"Action":"*","Resource":"arn:aws:apprunner:*:*:connection/prod/*"`), withCode)
	connection := root.connect("prod")
	root.complete("prod", "good")
	code := func(url string) *types.SourceConfiguration {
		return &types.SourceConfiguration{CodeRepository: &types.CodeRepository{
			RepositoryUrl: &url, SourceCodeVersion: &types.SourceCodeVersion{Type: types.SourceCodeVersionTypeBranch, Value: aws.String("main")},
			CodeConfiguration: &types.CodeConfiguration{ConfigurationSource: types.ConfigurationSourceRepository},
		}}
	}
	source := code("https://github.com/acme/shop")
	source.AuthenticationConfiguration = &types.AuthenticationConfiguration{ConnectionArn: connection.ConnectionArn}
	in := newService("shop")
	in.SourceConfiguration = source
	arn := *invoke[apprunner.CreateServiceOutput](root, in).Service.ServiceArn
	settle(root, arn)
	other := &apprunner.UpdateServiceInput{ServiceArn: &arn, SourceConfiguration: code("https://github.com/acme/private")}
	ann.refuse(other, "AccessDeniedException", "on resource: "+*connection.ConnectionArn+" with an explicit deny")
	ann.must(&apprunner.UpdateServiceInput{ServiceArn: &arn, InstanceConfiguration: &types.InstanceConfiguration{Memory: aws.String("3072")}})
	settle(root, arn)
	root.must(other)
}

// A Deny by the keys of tags takes the choice of build arguments from who may tag.
func TestBuildArgumentsByTagKeys(t *testing.T) {
	t.Parallel()
	root, ann := limited(t, denying(`"Action":["apprunner:TagResource","apprunner:UntagResource"],"Resource":"*","Condition":{"ForAnyValue:StringLike":{"aws:TagKeys":"slipway:build-arg.*"}}`))
	arn := root.create("shop")
	for key, denied := range map[string]bool{"slipway:build-arg.BASE": true, "team": false} {
		in := &apprunner.TagResourceInput{ResourceArn: &arn, Tags: []types.Tag{tag("stage", "x"), tag(key, "v")}}
		if denied {
			ann.refuse(in, "AccessDeniedException", "with an explicit deny")
			ann.refuse(&apprunner.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{key}}, "AccessDeniedException", "with an explicit deny")
		} else {
			ann.must(in)
		}
	}
}
