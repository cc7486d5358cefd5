package api_test

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

const (
	pullRole = "arn:aws:iam::000000000000:role/pull"
	runRole  = "arn:aws:iam::000000000000:role/run"
	kmsKey   = "arn:aws:kms:us-east-1:000000000000:key/01234567-89ab-cdef-0123-456789abcdef"

	defaultObservability = prefix + "observabilityconfiguration/DefaultConfiguration/1/00000000000000000000000000000001"
)

// imageOf returns the source of a service that runs an image.
func imageOf(image string, kind types.ImageRepositoryType, c *types.ImageConfiguration) *types.SourceConfiguration {
	return &types.SourceConfiguration{ImageRepository: &types.ImageRepository{
		ImageIdentifier: &image, ImageRepositoryType: kind, ImageConfiguration: c,
	}}
}

// withSource gives a service another source.
func withSource(s *types.SourceConfiguration) func(*apprunner.CreateServiceInput) {
	return func(in *apprunner.CreateServiceInput) { in.SourceConfiguration = s }
}

// withImageConfiguration makes a service run the image app with a configuration.
func withImageConfiguration(c types.ImageConfiguration) func(*apprunner.CreateServiceInput) {
	return withSource(imageOf("app", types.ImageRepositoryTypeEcr, &c))
}

func withInstance(c types.InstanceConfiguration) func(*apprunner.CreateServiceInput) {
	return func(in *apprunner.CreateServiceInput) { in.InstanceConfiguration = &c }
}

func withHealthCheck(c types.HealthCheckConfiguration) func(*apprunner.CreateServiceInput) {
	return func(in *apprunner.CreateServiceInput) { in.HealthCheckConfiguration = &c }
}

func withNetwork(c types.NetworkConfiguration) func(*apprunner.CreateServiceInput) {
	return func(in *apprunner.CreateServiceInput) { in.NetworkConfiguration = &c }
}

func withScaling(arn string) func(*apprunner.CreateServiceInput) {
	return func(in *apprunner.CreateServiceInput) { in.AutoScalingConfigurationArn = &arn }
}

func withObservability(c types.ServiceObservabilityConfiguration) func(*apprunner.CreateServiceInput) {
	return func(in *apprunner.CreateServiceInput) { in.ObservabilityConfiguration = &c }
}

func withTags(tags ...types.Tag) func(*apprunner.CreateServiceInput) {
	return func(in *apprunner.CreateServiceInput) { in.Tags = tags }
}

// private makes a service one that only its VPC ingress connections reach.
func private(in *apprunner.CreateServiceInput) {
	in.NetworkConfiguration = &types.NetworkConfiguration{IngressConfiguration: &types.IngressConfiguration{IsPubliclyAccessible: false}}
}

// services returns all services as ListServices does.
func (b *bench) services() []types.ServiceSummary {
	b.Helper()
	return invoke[apprunner.ListServicesOutput](b, &apprunner.ListServicesInput{}).ServiceSummaryList
}

// The reply to CreateService, whole, as App Runner is known to answer.
func TestCreateServiceReply(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	out := invoke[apprunner.CreateServiceOutput](b, newService("shop"))
	got := out.Service
	id, url := *got.ServiceId, *got.ServiceUrl
	if len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
		t.Errorf("ServiceId %q is not 32 hexadecimal digits", id)
	}
	if op := *out.OperationId; len(op) != 32 {
		t.Errorf("OperationId %q is not 32 hexadecimal digits", op)
	}
	label, rest, _ := strings.Cut(url, ".")
	if len(label) != 10 || rest != "us-east-1.slipway.localhost:8080" {
		t.Errorf("ServiceUrl %q", url)
	}
	want := &types.Service{
		ServiceName: aws.String("shop"), ServiceId: &id, ServiceArn: aws.String(prefix + "service/shop/" + id), ServiceUrl: &url,
		CreatedAt: &t0, UpdatedAt: &t0, Status: types.ServiceStatusOperationInProgress,
		SourceConfiguration: &types.SourceConfiguration{
			AutoDeploymentsEnabled: aws.Bool(false),
			ImageRepository: &types.ImageRepository{
				ImageIdentifier: aws.String("public.ecr.aws/nginx/nginx:latest"), ImageRepositoryType: types.ImageRepositoryTypeEcrPublic,
			},
		},
		InstanceConfiguration: &types.InstanceConfiguration{Cpu: aws.String("1024"), Memory: aws.String("2048")},
		HealthCheckConfiguration: &types.HealthCheckConfiguration{
			Protocol: types.HealthCheckProtocolTcp, Path: aws.String("/"), Interval: aws.Int32(5), Timeout: aws.Int32(2),
			HealthyThreshold: aws.Int32(1), UnhealthyThreshold: aws.Int32(5),
		},
		AutoScalingConfigurationSummary: &types.AutoScalingConfigurationSummary{
			AutoScalingConfigurationArn: aws.String(defaultScaling), AutoScalingConfigurationName: aws.String("DefaultConfiguration"),
			AutoScalingConfigurationRevision: 1,
		},
		NetworkConfiguration: &types.NetworkConfiguration{
			EgressConfiguration:  &types.EgressConfiguration{EgressType: types.EgressTypeDefault},
			IngressConfiguration: &types.IngressConfiguration{IsPubliclyAccessible: true},
			IpAddressType:        types.IpAddressTypeIpv4,
		},
	}
	if d := diff(want, got); d != "" {
		t.Errorf("the created service differs (-want +got):\n%s", d)
	}
	if d := diff(want, b.describe(*got.ServiceArn)); d != "" {
		t.Errorf("DescribeService differs (-want +got):\n%s", d)
	}
	summary := types.ServiceSummary{
		ServiceName: want.ServiceName, ServiceId: &id, ServiceArn: want.ServiceArn, ServiceUrl: &url,
		CreatedAt: &t0, UpdatedAt: &t0, Status: types.ServiceStatusOperationInProgress,
	}
	if d := diff([]types.ServiceSummary{summary}, b.services()); d != "" {
		t.Errorf("ListServices differs (-want +got):\n%s", d)
	}
}

// What a call asks for, and what the service shows then.
func TestCreateServiceMembers(t *testing.T) {
	t.Parallel()
	digest := "registry.example.com:5000/team/app:1.2@sha256:" + strings.Repeat("0", 64)
	ofImage := func(image string, change func(*types.SourceConfiguration)) func(*apprunner.CreateServiceInput) {
		s := imageOf(image, types.ImageRepositoryTypeEcr, nil)
		if change != nil {
			change(s)
		}
		return withSource(s)
	}
	source := func(s *types.Service) any { return s.SourceConfiguration }
	identifier := func(s *types.Service) any { return *s.SourceConfiguration.ImageRepository.ImageIdentifier }
	automatic := func(s *types.Service) any { return *s.SourceConfiguration.AutoDeploymentsEnabled }
	authentication := func(s *types.Service) any { return s.SourceConfiguration.AuthenticationConfiguration }
	image := func(s *types.Service) any { return s.SourceConfiguration.ImageRepository.ImageConfiguration }
	instance := func(s *types.Service) any { return s.InstanceConfiguration }
	health := func(s *types.Service) any { return s.HealthCheckConfiguration }
	network := func(s *types.Service) any { return s.NetworkConfiguration }
	ingress := func(s *types.Service) any { return s.NetworkConfiguration.IngressConfiguration }
	observability := func(s *types.Service) any { return s.ObservabilityConfiguration }
	key := func(s *types.Service) any { return s.EncryptionConfiguration }
	scaling := func(s *types.Service) any {
		return *s.AutoScalingConfigurationSummary.AutoScalingConfigurationArn
	}

	role := types.AuthenticationConfiguration{AccessRoleArn: aws.String(pullRole)}
	configured := types.ImageConfiguration{
		Port: aws.String("80"), StartCommand: aws.String("serve --at '0.0.0.0:80'"),
		RuntimeEnvironmentVariables: map[string]string{"A": "1", "B": ""},
		RuntimeEnvironmentSecrets:   map[string]string{"C": "arn:aws:ssm:us-east-1:000000000000:parameter/c"},
	}
	publicNoAuth := imageOf("app", types.ImageRepositoryTypeEcrPublic, nil)
	publicNoAuth.AuthenticationConfiguration = &types.AuthenticationConfiguration{}
	publicShown := imageOf("app", types.ImageRepositoryTypeEcrPublic, nil)
	publicShown.AutoDeploymentsEnabled = aws.Bool(false)
	for name, c := range map[string]struct {
		input func(*apprunner.CreateServiceInput)
		shown func(*types.Service) any
		want  any
	}{
		"any registry":             {ofImage(digest, nil), identifier, digest},
		"automatic deployments":    {ofImage(digest, nil), automatic, true},
		"no automatic deployments": {ofImage(digest, func(s *types.SourceConfiguration) { s.AutoDeploymentsEnabled = aws.Bool(false) }), automatic, false},
		"own ECR":                  {ofImage("000000000000.dkr.ecr.us-east-1.amazonaws.com/app:1", nil), automatic, true},
		"other account's ECR":      {ofImage("111122223333.dkr.ecr.us-east-1.amazonaws.com/app:1", nil), automatic, false},
		"access role":              {ofImage(digest, func(s *types.SourceConfiguration) { s.AuthenticationConfiguration = &role }), authentication, &role},
		"empty credentials":        {withSource(publicNoAuth), source, publicShown},
		"image configuration": {func(in *apprunner.CreateServiceInput) {
			withImageConfiguration(configured)(in)
			withInstance(types.InstanceConfiguration{InstanceRoleArn: aws.String(runRole)})(in)
		}, image, &configured},
		"no members": {withImageConfiguration(types.ImageConfiguration{}), image, &types.ImageConfiguration{Port: aws.String("8080")}},
		"empty maps": {
			withImageConfiguration(types.ImageConfiguration{RuntimeEnvironmentVariables: map[string]string{}, RuntimeEnvironmentSecrets: map[string]string{}}),
			image, &types.ImageConfiguration{Port: aws.String("8080")},
		},
		"sizes in words":  {withInstance(types.InstanceConfiguration{Cpu: aws.String("4 vCPU"), Memory: aws.String("12 GB")}), instance, &types.InstanceConfiguration{Cpu: aws.String("4096"), Memory: aws.String("12288")}},
		"mixed spellings": {withInstance(types.InstanceConfiguration{Cpu: aws.String("256"), Memory: aws.String("0.5 GB")}), instance, &types.InstanceConfiguration{Cpu: aws.String("256"), Memory: aws.String("512")}},
		"only memory":     {withInstance(types.InstanceConfiguration{Memory: aws.String("4 GB")}), instance, &types.InstanceConfiguration{Cpu: aws.String("1024"), Memory: aws.String("4096")}},
		"only a role": {
			withInstance(types.InstanceConfiguration{InstanceRoleArn: aws.String(runRole)}), instance,
			&types.InstanceConfiguration{Cpu: aws.String("1024"), Memory: aws.String("2048"), InstanceRoleArn: aws.String(runRole)},
		},
		"health check": {
			withHealthCheck(types.HealthCheckConfiguration{Protocol: types.HealthCheckProtocolHttp, Path: aws.String("/up?x=1"), Timeout: aws.Int32(10)}), health,
			&types.HealthCheckConfiguration{
				Protocol: types.HealthCheckProtocolHttp, Path: aws.String("/up?x=1"), Interval: aws.Int32(5), Timeout: aws.Int32(10),
				HealthyThreshold: aws.Int32(1), UnhealthyThreshold: aws.Int32(5),
			},
		},
		"empty networks": {withNetwork(types.NetworkConfiguration{}), ingress, &types.IngressConfiguration{IsPubliclyAccessible: true}},
		"private":        {private, ingress, &types.IngressConfiguration{IsPubliclyAccessible: false}},
		"dual stack": {
			withNetwork(types.NetworkConfiguration{IpAddressType: types.IpAddressTypeDualStack, EgressConfiguration: &types.EgressConfiguration{}}), network,
			&types.NetworkConfiguration{
				EgressConfiguration:  &types.EgressConfiguration{EgressType: types.EgressTypeDefault},
				IngressConfiguration: &types.IngressConfiguration{IsPubliclyAccessible: true}, IpAddressType: types.IpAddressTypeDualStack,
			},
		},
		"observability": {
			withObservability(types.ServiceObservabilityConfiguration{ObservabilityEnabled: true}), observability,
			&types.ServiceObservabilityConfiguration{ObservabilityEnabled: true, ObservabilityConfigurationArn: aws.String(defaultObservability)},
		},
		"not observed": {withObservability(types.ServiceObservabilityConfiguration{}), observability, &types.ServiceObservabilityConfiguration{}},
		"key": {
			func(in *apprunner.CreateServiceInput) {
				in.EncryptionConfiguration = &types.EncryptionConfiguration{KmsKey: aws.String(kmsKey)}
			}, key, &types.EncryptionConfiguration{KmsKey: aws.String(kmsKey)},
		},
		"scaling by name": {withScaling(prefix + "autoscalingconfiguration/DefaultConfiguration"), scaling, defaultScaling},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			created := invoke[apprunner.CreateServiceOutput](b, newService("shop", c.input)).Service
			for _, s := range []*types.Service{created, b.describe(*created.ServiceArn)} {
				if d := diff(c.want, c.shown(s)); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
			}
		})
	}
}

// An IngressConfiguration without IsPubliclyAccessible makes a private service,
// which the SDK's struct can't send.
func TestCreatePrivateServiceByOmission(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	out, err := b.Invoke("apprunner:CreateService", `{"ServiceName":"shop",`+image+`,"NetworkConfiguration":{"IngressConfiguration":{}}}`)
	if err != nil {
		t.Fatal(err)
	}
	created := out.(*apprunner.CreateServiceOutput).Service
	for _, s := range []*types.Service{created, b.describe(*created.ServiceArn)} {
		if d := diff(&types.IngressConfiguration{IsPubliclyAccessible: false}, s.NetworkConfiguration.IngressConfiguration); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
}

// sourcesRefused are sources that CreateService refuses, by the text of the
// refusal.
func sourcesRefused() map[string]func(*apprunner.CreateServiceInput) {
	code := &types.SourceConfiguration{CodeRepository: &types.CodeRepository{
		RepositoryUrl:     aws.String("https://github.com/a/b"),
		SourceCodeVersion: &types.SourceCodeVersion{Type: types.SourceCodeVersionTypeBranch, Value: aws.String("main")},
		CodeConfiguration: &types.CodeConfiguration{ConfigurationSource: types.ConfigurationSourceRepository},
	}}
	publicWithRole := imageOf("app", types.ImageRepositoryTypeEcrPublic, nil)
	publicWithRole.AuthenticationConfiguration = &types.AuthenticationConfiguration{AccessRoleArn: aws.String("arn:aws:iam::000000000000:role/x")}
	imageWithConnection := imageOf("app", types.ImageRepositoryTypeEcr, nil)
	imageWithConnection.AuthenticationConfiguration = &types.AuthenticationConfiguration{ConnectionArn: aws.String(prefix + "connection/x/1")}
	port := func(p string) func(*apprunner.CreateServiceInput) {
		return withImageConfiguration(types.ImageConfiguration{Port: &p})
	}
	start := func(command string) func(*apprunner.CreateServiceInput) {
		return withImageConfiguration(types.ImageConfiguration{StartCommand: &command})
	}
	variable := func(name, value string) func(*apprunner.CreateServiceInput) {
		return withImageConfiguration(types.ImageConfiguration{RuntimeEnvironmentVariables: map[string]string{name: value}})
	}
	secret := func(name, value string) func(*apprunner.CreateServiceInput) {
		return withImageConfiguration(types.ImageConfiguration{RuntimeEnvironmentSecrets: map[string]string{name: value}})
	}
	return map[string]func(*apprunner.CreateServiceInput){
		"exactly one of CodeRepository and ImageRepository":                                                           withSource(&types.SourceConfiguration{}),
		"AuthenticationConfiguration: a CodeRepository requires a ConnectionArn.":                                     withSource(code),
		`Port "0" is not a number from 1 to 65535`:                                                                    port("0"),
		`Port "65536" is not a number from 1 to 65535`:                                                                port("65536"),
		`Port "" is not a number from 1 to 65535`:                                                                     port(""),
		`Port "+80" is not a number`:                                                                                  port("+80"),
		"StartCommand can't be split into words":                                                                      start("run 'hush"),
		"startCommand' failed to satisfy constraint: Member must satisfy regular expression pattern":                  start(""),
		`RuntimeEnvironmentVariables: "PORT" is reserved`:                                                             variable("PORT", "1"),
		`RuntimeEnvironmentSecrets: "PORT" is reserved`:                                                               secret("PORT", "x"),
		`RuntimeEnvironmentSecrets: the value of "A" is no reference. It must be the ARN of a Secrets Manager secret`: secret("A", "not a name"),
		"Instance Role have to be provided if passing in RuntimeEnvironmentSecrets.":                                  secret("A", "/prod/a"),
		"The settings slipway:build-secret.NAME need an Instance Role":                                                withTags(tag("slipway:build-secret.TOKEN", "/prod/a")),
		"must be a reference as in RuntimeEnvironmentSecrets":                                                         withTags(tag("slipway:build-secret.TOKEN", "not a name")),
		"has an = or a NUL":      variable("A=B", "1"),
		"has a value with a NUL": variable("A", "\x00"),
		`"A" is in both`: withImageConfiguration(types.ImageConfiguration{
			RuntimeEnvironmentVariables: map[string]string{"A": "1"}, RuntimeEnvironmentSecrets: map[string]string{"A": "1"},
		}),
		`ImageIdentifier "Not An Image" is not an image reference`:        withSource(imageOf("Not An Image", types.ImageRepositoryTypeEcr, nil)),
		"enum value set: [ECR, ECR_PUBLIC]":                               withSource(imageOf("app", "DOCKER", nil)),
		"AccessRoleArn can't be used with ImageRepositoryType ECR_PUBLIC": withSource(publicWithRole),
		"ConnectionArn is for code repositories":                          withSource(imageWithConnection),
	}
}

// withEgress gives a service a path for its outgoing traffic.
func withEgress(e types.EgressConfiguration) func(*apprunner.CreateServiceInput) {
	return withNetwork(types.NetworkConfiguration{EgressConfiguration: &e})
}

func TestCreateServiceRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t, withCode)
	refused := sourcesRefused()
	instance := func(cpu, memory *string) func(*apprunner.CreateServiceInput) {
		return withInstance(types.InstanceConfiguration{Cpu: cpu, Memory: memory})
	}
	healthPath := func(p string) func(*apprunner.CreateServiceInput) {
		return withHealthCheck(types.HealthCheckConfiguration{Path: &p})
	}
	observability := func(enabled bool) func(*apprunner.CreateServiceInput) {
		return withObservability(types.ServiceObservabilityConfiguration{
			ObservabilityEnabled: enabled, ObservabilityConfigurationArn: aws.String(prefix + "observabilityconfiguration/x"),
		})
	}
	connector := aws.String(prefix + "vpcconnector/x")
	for message, option := range map[string]func(*apprunner.CreateServiceInput){
		"Memory 512 is not available with Cpu 1024; with it Memory can be 2048, 3072, 4096.":                            instance(aws.String("1024"), aws.String("512")),
		"Memory 2048 is not available with Cpu 256; with it Memory can be 512, 1024.":                                   instance(aws.String("256"), nil),
		`Cpu "0x25 vCPU" is none of 256, 512, 1024, 2048, 4096.`:                                                        instance(aws.String("0x25 vCPU"), nil),
		`Path "up" must begin with /`:                                                                                   healthPath("up"),
		"must begin with / and have no blanks":                                                                          healthPath("/ HTTP/1.1\r\nX: y"),
		"Auto scaling configuration not found: " + prefix + "autoscalingconfiguration/none":                             withScaling(prefix + "autoscalingconfiguration/none"),
		"is not the ARN of an auto scaling configuration":                                                               withScaling(prefix + "service/x/1"),
		"EgressType VPC requires a VpcConnectorArn":                                                                     withEgress(types.EgressConfiguration{EgressType: types.EgressTypeVpc}),
		"VpcConnectorArn requires EgressType VPC":                                                                       withEgress(types.EgressConfiguration{VpcConnectorArn: connector}),
		*connector + " is not the full ARN of a VPC connector":                                                          withEgress(types.EgressConfiguration{EgressType: types.EgressTypeVpc, VpcConnectorArn: connector}),
		"requires ObservabilityEnabled true":                                                                            observability(false),
		"Observability configuration not found: " + prefix + "observabilityconfiguration/x":                             observability(true),
		`Tags: the key "a" is given twice`:                                                                              withTags(tag("a"), tag("a")),
		"Value null at 'tags.1.member.key' failed to satisfy constraint: Member must not be null":                       withTags(types.Tag{Value: aws.String("a")}),
		`"slipway:min" is no setting that this server knows for the resource type service`:                              withTags(tag("slipway:min")),
		"'tags.1.member.key' failed to satisfy constraint: Member must satisfy regular expression pattern: ^(?!aws:).+": withTags(tag("aws:x")),
	} {
		refused[message] = option
	}
	for message, option := range refused {
		b.refuse(newService("shop", option), "InvalidRequestException", message)
	}
	if strings.Contains(b.Logged.String(), "hush") {
		t.Error("the log repeats a start command")
	}
	if l := b.services(); len(l) != 0 {
		t.Errorf("refused calls left services behind: %v", l)
	}
}

func TestServiceURL(t *testing.T) {
	t.Parallel()
	for port, suffix := range map[int]string{0: "", 80: "", 443: "", 8443: ":8443"} {
		b := newBench(t, func(c *api.Config) { c.URLPort, c.Domain = port, "apps.example.com" })
		url := *invoke[apprunner.CreateServiceOutput](b, newService("shop")).Service.ServiceUrl
		if want := url[:10] + ".us-east-1.apps.example.com" + suffix; url != want {
			t.Errorf("port %d: ServiceUrl %q, want %q", port, url, want)
		}
	}
	b := newBench(t)
	arn := b.create("shop", private)
	if url := b.describe(arn).ServiceUrl; url != nil {
		t.Errorf("a private service has the URL %v", *url)
	}
	out := invoke[api.DescribeCustomDomainsOutput](b, &apprunner.DescribeCustomDomainsInput{ServiceArn: &arn})
	if host := *out.DNSTarget; !strings.HasSuffix(host, ".us-east-1.slipway.localhost") {
		t.Errorf("DNSTarget %q", host)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	b.refuse(newService("shop"), "InvalidRequestException", "Service with the provided name already exists: shop")
	// A failed creation keeps the name until it is deleted.
	failed := *invoke[apprunner.CreateServiceOutput](b, newService("cart")).Service.ServiceArn
	b.end(failed, slipway.OperationFailed, slipway.StatusCreateFailed)
	b.refuse(newService("cart"), "InvalidRequestException", "already exists: cart")
	b.delete(arn)
	b.refuse(newService("shop"), "InvalidRequestException", "already exists: shop")
	b.end(arn, slipway.OperationSucceeded, slipway.StatusDeleted)
	if again := b.create("shop"); again == arn {
		t.Error("the new service has the deleted one's ARN")
	}
}

// race makes a call sixteen times at once and returns how many succeeded. All
// others must fail with the exception and exactly the message.
func (b *bench) race(input func() any, exception, message string) int {
	b.Helper()
	errs := make([]error, 16)
	var wg sync.WaitGroup
	for i := range errs {
		in := input()
		wg.Go(func() { _, errs[i] = b.Invoke("apprunner:"+operationOf(in), in) })
	}
	wg.Wait()
	for _, err := range errs {
		if e, ok := errors.AsType[*wire.Exception](err); err != nil && (!ok || e.Name != exception || e.Message != message) {
			b.Errorf("one of many calls: %v", err)
		}
	}
	return len(slices.DeleteFunc(errs, func(err error) bool { return err != nil }))
}

func TestNamesUnderRace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	made := b.race(func() any { return newService("shop") }, "InvalidRequestException", "Service with the provided name already exists: shop")
	if made != 1 {
		t.Errorf("%d services of one name were made", made)
	}
}

func TestServiceQuota(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *api.Config) { c.Quotas.Services = 2 })
	b.create("one1")
	b.create("two2")
	if e := b.refuse(newService("three"), "ServiceQuotaExceededException", ""); e.Status != 402 {
		t.Errorf("status %d, want 402", e.Status)
	}
	// A repeated call is refused for its name, not for the quota.
	b.refuse(newService("two2"), "InvalidRequestException", "already exists: two2")

	b = newBench(t, func(c *api.Config) { c.Quotas.Services = -1 })
	for i := range 40 {
		b.create(fmt.Sprintf("service-%d", i))
	}
}

func TestFindService(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	short := prefix + "service/shop"
	if got := *b.describe(short).ServiceArn; got != arn {
		t.Errorf("%s finds %s, want %s", short, got, arn)
	}
	refused := func(arn, exception, message string) {
		t.Helper()
		b.refuse(&apprunner.DescribeServiceInput{ServiceArn: &arn}, exception, message)
	}
	id := path.Base(arn)
	for _, wrong := range []string{
		prefix + "service/cart/" + id,
		prefix + "service/cart",
		strings.Replace(arn, "us-east-1", "eu-west-1", 1),
		strings.Replace(arn, account, "111122223333", 1),
		strings.Replace(short, "us-east-1", "eu-west-1", 1),
		strings.Replace(short, account, "111122223333", 1),
	} {
		refused(wrong, "ResourceNotFoundException", "Service not found: "+wrong)
	}
	refused(arn+"/x", "InvalidRequestException", "is not the ARN of a service")
	refused(prefix+"service/", "InvalidRequestException", "empty part")
}

// A deleted service can be described by its full ARN. All other calls fail.
func TestDeletedService(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	b.Clock.Advance(time.Minute)
	out := b.delete(arn)
	if st := out.Service.Status; st != types.ServiceStatusOperationInProgress || len(*out.OperationId) != 32 {
		t.Errorf("DeleteService answers %s, operation %s", st, *out.OperationId)
	}
	b.Clock.Advance(time.Second)
	b.end(arn, slipway.OperationSucceeded, slipway.StatusDeleted)
	deletedAt := t0.Add(61 * time.Second)
	s := b.describe(arn)
	want := types.Service{Status: types.ServiceStatusDeleted, CreatedAt: &t0, UpdatedAt: &deletedAt, DeletedAt: &deletedAt}
	if d := diff(want, types.Service{Status: s.Status, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt, DeletedAt: s.DeletedAt}); d != "" {
		t.Errorf("a deleted service (-want +got):\n%s", d)
	}
	if l := b.services(); len(l) != 0 {
		t.Errorf("ListServices lists a deleted service: %v", l)
	}
	if l := invoke[apprunner.ListOperationsOutput](b, &apprunner.ListOperationsInput{ServiceArn: &arn}).OperationSummaryList; len(l) != 2 {
		t.Errorf("%d operations of a deleted service, want 2", len(l))
	}
	for _, in := range []any{
		&apprunner.UpdateServiceInput{ServiceArn: &arn},
		&apprunner.PauseServiceInput{ServiceArn: &arn},
		&apprunner.ResumeServiceInput{ServiceArn: &arn},
		&apprunner.DeleteServiceInput{ServiceArn: &arn},
		&apprunner.StartDeploymentInput{ServiceArn: &arn},
		&apprunner.ListTagsForResourceInput{ResourceArn: &arn},
		&apprunner.TagResourceInput{ResourceArn: &arn, Tags: []types.Tag{}},
		&apprunner.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{}},
	} {
		b.refuse(in, "ResourceNotFoundException", "Service not found: "+arn)
	}
	b.refuse(&apprunner.DescribeServiceInput{ServiceArn: aws.String(prefix + "service/shop")}, "ResourceNotFoundException", "Service not found")
	b.Update(func(tx *store.Tx) error { _, err := tx.ForgetServices(b.Clock.Now().Add(time.Hour)); return err })
	b.refuse(&apprunner.DescribeServiceInput{ServiceArn: &arn}, "ResourceNotFoundException", "Service not found: "+arn)
}
