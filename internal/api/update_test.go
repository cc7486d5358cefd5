package api_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/openslipway/slipway"
)

// everything sets every member of a service that an update may keep.
func everything(in *apprunner.CreateServiceInput) {
	in.SourceConfiguration = imageOf("app:1", types.ImageRepositoryTypeEcr, &types.ImageConfiguration{
		Port: aws.String("80"), StartCommand: aws.String("run"),
		RuntimeEnvironmentVariables: map[string]string{"A": "1", "B": "2"}, RuntimeEnvironmentSecrets: map[string]string{"S": "x"},
	})
	in.SourceConfiguration.AutoDeploymentsEnabled = aws.Bool(true)
	in.SourceConfiguration.AuthenticationConfiguration = &types.AuthenticationConfiguration{AccessRoleArn: aws.String(pullRole)}
	in.InstanceConfiguration = &types.InstanceConfiguration{Cpu: aws.String("1024"), Memory: aws.String("3072"), InstanceRoleArn: aws.String(runRole)}
	in.HealthCheckConfiguration = &types.HealthCheckConfiguration{
		Protocol: types.HealthCheckProtocolHttp, Path: aws.String("/up"), Interval: aws.Int32(6), Timeout: aws.Int32(3),
		HealthyThreshold: aws.Int32(2), UnhealthyThreshold: aws.Int32(4),
	}
	in.NetworkConfiguration = &types.NetworkConfiguration{
		IngressConfiguration: &types.IngressConfiguration{IsPubliclyAccessible: true}, IpAddressType: types.IpAddressTypeDualStack,
	}
	in.ObservabilityConfiguration = &types.ServiceObservabilityConfiguration{ObservabilityEnabled: true}
	in.EncryptionConfiguration = &types.EncryptionConfiguration{KmsKey: aws.String(kmsKey)}
}

// update is an update of the service that everything describes: what it asks
// for, and how that changes the service.
type update struct {
	input  apprunner.UpdateServiceInput
	change func(*types.Service)
}

// sourceUpdates are updates of the source.
func sourceUpdates() map[string]update {
	// image updates the image to app:2, and the image's configuration.
	image := func(c *types.ImageConfiguration, change func(*types.ImageConfiguration)) update {
		return update{apprunner.UpdateServiceInput{SourceConfiguration: imageOf("app:2", types.ImageRepositoryTypeEcr, c)}, func(s *types.Service) {
			s.SourceConfiguration.ImageRepository.ImageIdentifier = aws.String("app:2")
			change(s.SourceConfiguration.ImageRepository.ImageConfiguration)
		}}
	}
	source := func(c types.SourceConfiguration, change func(*types.SourceConfiguration)) update {
		return update{apprunner.UpdateServiceInput{SourceConfiguration: &c}, func(s *types.Service) { change(s.SourceConfiguration) }}
	}
	return map[string]update{
		"image": image(nil, func(*types.ImageConfiguration) {}),
		"port": image(&types.ImageConfiguration{Port: aws.String("81")},
			func(c *types.ImageConfiguration) { c.Port = aws.String("81") }),
		"start command": image(&types.ImageConfiguration{StartCommand: aws.String("go")},
			func(c *types.ImageConfiguration) { c.StartCommand = aws.String("go") }),
		"variables": image(&types.ImageConfiguration{RuntimeEnvironmentVariables: map[string]string{"B": "3"}},
			func(c *types.ImageConfiguration) { c.RuntimeEnvironmentVariables = map[string]string{"B": "3"} }),
		"no variables": image(&types.ImageConfiguration{RuntimeEnvironmentVariables: map[string]string{}},
			func(c *types.ImageConfiguration) { c.RuntimeEnvironmentVariables = nil }),
		"no secrets": image(&types.ImageConfiguration{RuntimeEnvironmentSecrets: map[string]string{}},
			func(c *types.ImageConfiguration) { c.RuntimeEnvironmentSecrets = nil }),
		"automatic": source(types.SourceConfiguration{AutoDeploymentsEnabled: aws.Bool(false)},
			func(s *types.SourceConfiguration) { s.AutoDeploymentsEnabled = aws.Bool(false) }),
		"access role": source(types.SourceConfiguration{
			AuthenticationConfiguration: &types.AuthenticationConfiguration{AccessRoleArn: aws.String("arn:aws:iam::000000000000:role/other")},
		}, func(s *types.SourceConfiguration) {
			s.AuthenticationConfiguration.AccessRoleArn = aws.String("arn:aws:iam::000000000000:role/other")
		}),
		"empty role": source(types.SourceConfiguration{
			AutoDeploymentsEnabled: aws.Bool(true), AuthenticationConfiguration: &types.AuthenticationConfiguration{},
		},
			func(*types.SourceConfiguration) {}),
		"public image": source(*imageOf("app:1", types.ImageRepositoryTypeEcrPublic, nil), func(s *types.SourceConfiguration) {
			s.ImageRepository.ImageRepositoryType, s.AuthenticationConfiguration = types.ImageRepositoryTypeEcrPublic, nil
		}),
	}
}

// otherUpdates are updates of what a service has besides its source.
func otherUpdates() map[string]update {
	instance := func(c types.InstanceConfiguration, change func(*types.InstanceConfiguration)) update {
		return update{apprunner.UpdateServiceInput{InstanceConfiguration: &c}, func(s *types.Service) { change(s.InstanceConfiguration) }}
	}
	health := func(c types.HealthCheckConfiguration, change func(*types.HealthCheckConfiguration)) update {
		return update{apprunner.UpdateServiceInput{HealthCheckConfiguration: &c}, func(s *types.Service) { change(s.HealthCheckConfiguration) }}
	}
	network := func(c types.NetworkConfiguration, change func(*types.NetworkConfiguration)) update {
		return update{apprunner.UpdateServiceInput{NetworkConfiguration: &c}, func(s *types.Service) { change(s.NetworkConfiguration) }}
	}
	return map[string]update{
		"same values": {
			apprunner.UpdateServiceInput{InstanceConfiguration: &types.InstanceConfiguration{Memory: aws.String("3072")}},
			func(*types.Service) {},
		},
		"memory": instance(types.InstanceConfiguration{Memory: aws.String("4 GB")},
			func(c *types.InstanceConfiguration) { c.Memory = aws.String("4096") }),
		"both sizes": instance(types.InstanceConfiguration{Cpu: aws.String("2 vCPU"), Memory: aws.String("6144")},
			func(c *types.InstanceConfiguration) { c.Cpu, c.Memory = aws.String("2048"), aws.String("6144") }),
		"health path": health(types.HealthCheckConfiguration{Path: aws.String("/ok")},
			func(c *types.HealthCheckConfiguration) { c.Path = aws.String("/ok") }),
		"health numbers": health(types.HealthCheckConfiguration{Timeout: aws.Int32(10), UnhealthyThreshold: aws.Int32(20)},
			func(c *types.HealthCheckConfiguration) {
				c.Timeout, c.UnhealthyThreshold = aws.Int32(10), aws.Int32(20)
			}),
		"health protocol": health(types.HealthCheckConfiguration{Protocol: types.HealthCheckProtocolTcp},
			func(c *types.HealthCheckConfiguration) { c.Protocol = types.HealthCheckProtocolTcp }),
		"private service, which is IPV4": network(types.NetworkConfiguration{IngressConfiguration: &types.IngressConfiguration{}},
			func(c *types.NetworkConfiguration) {
				c.IngressConfiguration.IsPubliclyAccessible, c.IpAddressType = false, types.IpAddressTypeIpv4
			}),
		"address type": network(types.NetworkConfiguration{
			IpAddressType: types.IpAddressTypeIpv4, EgressConfiguration: &types.EgressConfiguration{EgressType: types.EgressTypeDefault},
		}, func(c *types.NetworkConfiguration) { c.IpAddressType = types.IpAddressTypeIpv4 }),
		"no observability": {
			apprunner.UpdateServiceInput{ObservabilityConfiguration: &types.ServiceObservabilityConfiguration{ObservabilityEnabled: false}},
			func(s *types.Service) { s.ObservabilityConfiguration = &types.ServiceObservabilityConfiguration{} },
		},
	}
}

// Each update names what it changes; all else must stay.
func TestUpdateMerges(t *testing.T) {
	t.Parallel()
	for _, updates := range []map[string]update{sourceUpdates(), otherUpdates()} {
		for name, c := range updates {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				testUpdate(t, c)
			})
		}
	}
}

func testUpdate(t *testing.T, c update) {
	t.Helper()
	b := newBench(t)
	arn := b.create("shop", everything)
	want := b.describe(arn)
	c.change(want)
	want.Status = types.ServiceStatusOperationInProgress
	c.input.ServiceArn = &arn
	out := invoke[apprunner.UpdateServiceOutput](b, &c.input)
	if len(*out.OperationId) != 32 {
		t.Errorf("OperationId is %s", *out.OperationId)
	}
	ignoreURL := cmpopts.IgnoreFields(types.Service{}, "ServiceUrl")
	if d := diff(want, out.Service, ignoreURL); d != "" {
		t.Errorf("the reply shows other values (-want +got):\n%s", d)
	}
	b.end(arn, slipway.OperationSucceeded, slipway.StatusRunning)
	want.Status = types.ServiceStatusRunning
	if d := diff(want, b.describe(arn), ignoreURL); d != "" {
		t.Errorf("afterwards the service shows other values (-want +got):\n%s", d)
	}
}

func TestUpdateRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop", withInstance(types.InstanceConfiguration{Cpu: aws.String("4096"), Memory: aws.String("8192")}))
	before := b.describe(arn)
	for message, in := range map[string]apprunner.UpdateServiceInput{
		"can't change from an image to a code repository": {SourceConfiguration: &types.SourceConfiguration{CodeRepository: &types.CodeRepository{
			RepositoryUrl:     aws.String("u"),
			SourceCodeVersion: &types.SourceCodeVersion{Type: types.SourceCodeVersionTypeBranch, Value: aws.String("main")},
		}}},
		"Memory 2048 is not available with Cpu 4096; with it Memory can be 8192, 10240, 12288.": {
			InstanceConfiguration: &types.InstanceConfiguration{Memory: aws.String("2048")},
		},
		"Memory 8192 is not available with Cpu 256": {InstanceConfiguration: &types.InstanceConfiguration{Cpu: aws.String("256")}},
		"Auto scaling configuration not found":      {AutoScalingConfigurationArn: aws.String(scalingARN("none", "1"))},
		"'healthCheckConfiguration.interval' failed to satisfy constraint: Member must have value greater than or equal to 1": {
			HealthCheckConfiguration: &types.HealthCheckConfiguration{Interval: aws.Int32(0)},
		},
		"'sourceConfiguration.imageRepository.imageIdentifier' failed to satisfy constraint: Member must not be null": {
			SourceConfiguration: &types.SourceConfiguration{ImageRepository: &types.ImageRepository{ImageConfiguration: &types.ImageConfiguration{Port: aws.String("80")}}},
		},
		"can't be used with ImageRepositoryType ECR_PUBLIC": {SourceConfiguration: &types.SourceConfiguration{
			AuthenticationConfiguration: &types.AuthenticationConfiguration{AccessRoleArn: aws.String("arn:aws:iam::000000000000:role/x")},
		}},
	} {
		in.ServiceArn = &arn
		b.refuse(&in, "InvalidRequestException", message)
	}
	b.refuse(&apprunner.UpdateServiceInput{ServiceArn: aws.String(noService)}, "ResourceNotFoundException", "Service not found")
	if d := diff(before, b.describe(arn)); d != "" {
		t.Errorf("refused updates changed the service (-before +after):\n%s", d)
	}
}

// A live update shows its values; if it fails, the service shows the old ones.
func TestFailedUpdateShowsTheOldValues(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	invoke[apprunner.UpdateServiceOutput](b, &apprunner.UpdateServiceInput{
		ServiceArn: &arn, InstanceConfiguration: &types.InstanceConfiguration{Memory: aws.String("4096")},
	})
	if m := *b.describe(arn).InstanceConfiguration.Memory; m != "4096" {
		t.Errorf("Memory is %s during the update", m)
	}
	b.end(arn, slipway.OperationRollbackSucceeded, slipway.StatusRunning)
	if m := *b.describe(arn).InstanceConfiguration.Memory; m != "2048" {
		t.Errorf("Memory is %s after the update failed", m)
	}
}
