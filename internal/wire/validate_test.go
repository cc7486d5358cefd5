package wire_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/wire"
)

func operation(t testing.TB, name string) *wire.Operation {
	t.Helper()
	op, ok := wire.OperationNamed(name)
	if !ok {
		t.Fatalf("the model has no operation %s", name)
	}
	return op
}

const (
	image = `"SourceConfiguration":{"ImageRepository":{"ImageIdentifier":"ghcr.io/a/b:1","ImageRepositoryType":"ECR"}}`
	arn   = `arn:aws:apprunner:us-east-1:000000000000:service/shop/0f3c6f2f5a7b4c0e9d1e2a3b4c5d6e7f`
)

func TestValidateAccepts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ op, body string }{
		{"ListServices", ``},
		{"ListServices", `{}`},
		{"ListServices", `null`},
		{"ListServices", `{"MaxResults":null,"NextToken":"","Unknown":{"MaxResults":0}}`},
		{"CreateService", `{"ServiceName":"shop",` + image + `}`},
		{"CreateService", `{"ServiceName":"` + strings.Repeat("s", 40) + `",` + image + `}`},
		{"CreateService", `{"ServiceName":"shop",` + image + `,"InstanceConfiguration":{"Cpu":"0.25 vCPU","Memory":"12 GB"}}`},
		{"CreateService", `{"ServiceName":"shop",` + image + `,"Tags":[{"Key":"k"},{"Key":"日本","Value":""}]}`},
		{"DescribeService", `{"ServiceArn":"` + arn + `"}`},
		{"DescribeService", `{"ServiceArn":"arn:aws-us-gov:apprunner::000000000000:x"}`},
		{"UntagResource", `{"ResourceArn":"` + arn + `","TagKeys":[]}`},
	} {
		if err := operation(t, c.op).Validate([]byte(c.body)); err != nil {
			t.Errorf("%s %s: %v", c.op, c.body, err)
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	t.Parallel()
	env := func(kind, entries string) string {
		return `{"ServiceName":"shop","SourceConfiguration":{"ImageRepository":{"ImageIdentifier":"i","ImageRepositoryType":"ECR",
			"ImageConfiguration":{"` + kind + `":` + entries + `}}}}`
	}
	const envPath = "sourceConfiguration.imageRepository.imageConfiguration."
	for _, c := range []struct{ op, body, message string }{
		{
			"CreateService", `{"ServiceName":"abc",` + image + `}`,
			"1 validation error detected: Value 'abc' at 'serviceName' failed to satisfy constraint: Member must have length greater than or equal to 4",
		},
		{
			"CreateService", `{}`,
			"2 validation errors detected: Value null at 'serviceName' failed to satisfy constraint: Member must not be null; " +
				"Value null at 'sourceConfiguration' failed to satisfy constraint: Member must not be null",
		},
		{
			"CreateService", ``,
			"2 validation errors detected: Value null at 'serviceName' failed to satisfy constraint: Member must not be null; " +
				"Value null at 'sourceConfiguration' failed to satisfy constraint: Member must not be null",
		},
		{
			"CreateAutoScalingConfiguration", `{"AutoScalingConfigurationName":"reviewlens-cloud-dev-single-instance"}`,
			"2 validation errors detected: Value 'reviewlens-cloud-dev-single-instance' at 'autoScalingConfigurationName' failed to satisfy constraint: " +
				`Member must satisfy regular expression pattern: [A-Za-z0-9][A-Za-z0-9\-_]{3,31}; ` +
				"Value 'reviewlens-cloud-dev-single-instance' at 'autoScalingConfigurationName' failed to satisfy constraint: Member must have length less than or equal to 32",
		},
		{
			"CreateAutoScalingConfiguration", `{"AutoScalingConfigurationName":"name","MaxConcurrency":201,"MinSize":0,"MaxSize":-1}`,
			"3 validation errors detected: Value '201' at 'maxConcurrency' failed to satisfy constraint: Member must have value less than or equal to 200; " +
				"Value '0' at 'minSize' failed to satisfy constraint: Member must have value greater than or equal to 1; " +
				"Value '-1' at 'maxSize' failed to satisfy constraint: Member must have value greater than or equal to 1",
		},
		{
			"UpdateService", `{"ServiceArn":"` + arn + `","HealthCheckConfiguration":{"Protocol":"UDP","Path":""}}`,
			"2 validation errors detected: Value 'UDP' at 'healthCheckConfiguration.protocol' failed to satisfy constraint: Member must satisfy enum value set: [TCP, HTTP]; " +
				"Value '' at 'healthCheckConfiguration.path' failed to satisfy constraint: Member must have length greater than or equal to 1",
		},
		{
			"UpdateService", `{"ServiceArn":"` + arn + `","InstanceConfiguration":{"Cpu":"25600"}}`,
			"1 validation error detected: Value '25600' at 'instanceConfiguration.cpu' failed to satisfy constraint: " +
				"Member must satisfy regular expression pattern: 256|512|1024|2048|4096|(0.25|0.5|1|2|4) vCPU",
		},
		{
			"UpdateService", `{"ServiceArn":"` + arn + `","ObservabilityConfiguration":{}}`,
			"1 validation error detected: Value null at 'observabilityConfiguration.observabilityEnabled' failed to satisfy constraint: Member must not be null",
		},
		{
			"TagResource", `{"ResourceArn":"` + arn + `","Tags":[null]}`,
			"1 validation error detected: Value null at 'tags.1.member' failed to satisfy constraint: Member must not be null",
		},
		{
			"TagResource", `{"ResourceArn":"` + arn + `","Tags":[{"Key":"a"},{"Key":"aws:x"}]}`,
			"1 validation error detected: Value 'aws:x' at 'tags.2.member.key' failed to satisfy constraint: " +
				"Member must satisfy regular expression pattern: ^(?!aws:).+",
		},
		{
			"UntagResource", `{"ResourceArn":"` + arn + `","TagKeys":["a",""]}`,
			"1 validation error detected: Value '' at 'tagKeys.2.member' failed to satisfy constraint: Member must have length greater than or equal to 1",
		},
		{
			"DescribeService", `{"ServiceArn":"shop"}`,
			"1 validation error detected: Value 'shop' at 'serviceArn' failed to satisfy constraint: Member must satisfy regular expression pattern: " +
				`arn:aws(-[\w]+)*:[a-z0-9-\\.]{0,63}:[a-z0-9-\\.]{0,63}:[0-9]{12}:(\w|\/|-){1,1011}`,
		},
		{"DescribeService", `{"ServiceArn":"x` + arn + `"}`, "Value 'x" + arn + "' at 'serviceArn'"},
		{
			"CreateService", env("StartCommand", `"hush\nhush"`),
			"1 validation error detected: Value at '" + envPath + "startCommand' failed to satisfy constraint: " +
				`Member must satisfy regular expression pattern: [^\x0a\x0d]+`,
		},
		{
			"CreateService", env("RuntimeEnvironmentVariables", `{"":"hush","hush":null}`),
			"2 validation errors detected: Value at '" + envPath + "runtimeEnvironmentVariables' failed to satisfy constraint: " +
				"Map keys must satisfy constraint: [Member must have length greater than or equal to 1]; " +
				"Value at '" + envPath + "runtimeEnvironmentVariables' failed to satisfy constraint: Map value must satisfy constraint: [Member must not be null]",
		},
		{
			"CreateService", env("RuntimeEnvironmentVariables", `{"hush":"`+strings.Repeat("x", 51201)+`"}`),
			"Map value must satisfy constraint: [Member must have length less than or equal to 51200]",
		},
	} {
		err := operation(t, c.op).Validate([]byte(c.body))
		e, ok := errors.AsType[*wire.Exception](err)
		if !ok {
			t.Errorf("%s %s: %v, want an exception", c.op, c.body, err)
			continue
		}
		if e.Name != wire.InvalidRequestException || e.Status != 400 || !strings.Contains(e.Message, c.message) {
			t.Errorf("%s %s:\n got %s %q\nwant %q", c.op, c.body, e.Name, e.Message, c.message)
		}
		if strings.Contains(e.Message, "hush") {
			t.Errorf("%s: the message repeats a secret: %s", c.op, e.Message)
		}
	}
}

func TestLengthsCountCharacters(t *testing.T) {
	t.Parallel()
	op := operation(t, "UntagResource")
	key := strings.Repeat("日", 128)
	if err := op.Validate([]byte(`{"ResourceArn":"` + arn + `","TagKeys":["` + key + `"]}`)); err != nil {
		t.Errorf("128 characters of three bytes: %v", err)
	}
	if err := op.Validate([]byte(`{"ResourceArn":"` + arn + `","TagKeys":["` + key + `日"]}`)); err == nil {
		t.Error("129 characters were accepted")
	}
}

func TestLongValuesAreShortened(t *testing.T) {
	t.Parallel()
	err := operation(t, "ListServicesForAutoScalingConfiguration").Validate([]byte(
		`{"AutoScalingConfigurationArn":"` + arn + `","NextToken":"` + strings.Repeat("é", 2000) + `"}`))
	e, ok := errors.AsType[*wire.Exception](err)
	if !ok {
		t.Fatalf("%v, want an exception", err)
	}
	if want := "Value '" + strings.Repeat("é", 125) + "...' at 'nextToken'"; !strings.Contains(e.Message, want) {
		t.Errorf("%s\nlacks %s", e.Message, want)
	}
}

func TestPermits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		op, exception string
		want          bool
	}{
		{"CreateService", "ServiceQuotaExceededException", true},
		{"CreateService", "ResourceNotFoundException", false},
		{"StartDeployment", "InvalidStateException", false},
		{"StartDeployment", "ResourceNotFoundException", true},
		{"TagResource", "InvalidStateException", true},
	} {
		if got := operation(t, c.op).Permits(c.exception); got != c.want {
			t.Errorf("%s permits %s: %t", c.op, c.exception, got)
		}
	}
	if _, ok := wire.OperationNamed("DescribeOperation"); ok {
		t.Error("DescribeOperation is no operation of the model")
	}
}
