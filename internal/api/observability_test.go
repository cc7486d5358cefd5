package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
)

func observabilityARN(parts ...string) string {
	return prefix + "observabilityconfiguration/" + strings.Join(parts, "/")
}

// newObservability returns the input that creates a revision of a configuration.
func newObservability(name string) *apprunner.CreateObservabilityConfigurationInput {
	return &apprunner.CreateObservabilityConfigurationInput{ObservabilityConfigurationName: &name}
}

// observability creates a revision of a configuration and returns it.
func (b *bench) observability(name string) *types.ObservabilityConfiguration {
	b.Helper()
	return invoke[apprunner.CreateObservabilityConfigurationOutput](b, newObservability(name)).ObservabilityConfiguration
}

func (b *bench) describeObservability(arn string) *types.ObservabilityConfiguration {
	b.Helper()
	return invoke[apprunner.DescribeObservabilityConfigurationOutput](b,
		&apprunner.DescribeObservabilityConfigurationInput{ObservabilityConfigurationArn: &arn}).ObservabilityConfiguration
}

// removeObservability returns the input that deletes a revision.
func removeObservability(arn string) *apprunner.DeleteObservabilityConfigurationInput {
	return &apprunner.DeleteObservabilityConfigurationInput{ObservabilityConfigurationArn: &arn}
}

func (b *bench) deleteObservability(arn string) *types.ObservabilityConfiguration {
	b.Helper()
	return invoke[apprunner.DeleteObservabilityConfigurationOutput](b, removeObservability(arn)).ObservabilityConfiguration
}

func TestProvidedObservability(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	want := &types.ObservabilityConfiguration{
		ObservabilityConfigurationArn: aws.String(defaultObservability), ObservabilityConfigurationName: aws.String("DefaultConfiguration"),
		ObservabilityConfigurationRevision: 1, Latest: true, Status: types.ObservabilityConfigurationStatusActive,
		TraceConfiguration: &types.TraceConfiguration{Vendor: types.TracingVendorAwsxray}, CreatedAt: &t0,
	}
	for _, arn := range []string{defaultObservability, observabilityARN("DefaultConfiguration"), observabilityARN("DefaultConfiguration", "1")} {
		if d := diff(want, b.describeObservability(arn)); d != "" {
			t.Errorf("%s (-want +got):\n%s", arn, d)
		}
	}
	b.refuse(removeObservability(defaultObservability), "InvalidRequestException", "reserved")
	b.refuse(newObservability("DefaultConfiguration"), "InvalidRequestException", "ObservabilityConfigurationName DefaultConfiguration is reserved")
}

func TestObservabilityRevisions(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one := b.observability("traces")
	arn := *one.ObservabilityConfigurationArn
	want := types.ObservabilityConfiguration{
		ObservabilityConfigurationArn: &arn, ObservabilityConfigurationName: aws.String("traces"),
		ObservabilityConfigurationRevision: 1, Latest: true, Status: types.ObservabilityConfigurationStatusActive, CreatedAt: &t0,
	}
	if d := diff(&want, one); d != "" || !strings.HasPrefix(arn, observabilityARN("traces", "1")+"/") {
		t.Errorf("created (-want +got):\n%s", d)
	}
	traced := newObservability("traces")
	traced.TraceConfiguration = &types.TraceConfiguration{Vendor: types.TracingVendorAwsxray}
	two := invoke[apprunner.CreateObservabilityConfigurationOutput](b, traced).ObservabilityConfiguration
	second := *two.ObservabilityConfigurationArn
	wantTwo := want
	wantTwo.ObservabilityConfigurationArn, wantTwo.ObservabilityConfigurationRevision = &second, 2
	wantTwo.TraceConfiguration = traced.TraceConfiguration
	if d := diff(&wantTwo, two); d != "" {
		t.Errorf("the second revision (-want +got):\n%s", d)
	}
	want.Latest = false
	if d := diff(&want, b.describeObservability(arn)); d != "" {
		t.Errorf("the first after the second (-want +got):\n%s", d)
	}
	for text, want := range map[string]string{observabilityARN("traces"): second, observabilityARN("traces", "1"): arn, second: second} {
		if got := *b.describeObservability(text).ObservabilityConfigurationArn; got != want {
			t.Errorf("%s names %s, want %s", text, got, want)
		}
	}
	b.Clock.Advance(time.Second)
	deleted := b.deleteObservability(observabilityARN("traces"))
	wantTwo.Status, wantTwo.Latest = types.ObservabilityConfigurationStatusInactive, false
	wantTwo.DeletedAt = aws.Time(t0.Add(time.Second))
	if d := diff(&wantTwo, deleted); d != "" {
		t.Errorf("deleted by name (-want +got):\n%s", d)
	}
	if d := diff(&wantTwo, b.describeObservability(second)); d != "" {
		t.Errorf("a deleted revision is not describable as it was (-want +got):\n%s", d)
	}
	if !b.describeObservability(arn).Latest {
		t.Error("after the latest was deleted, the one before is not the latest")
	}
	b.refuse(removeObservability(second), "ResourceNotFoundException", "Observability configuration not found: "+second)
	describe := func(arn string) *apprunner.DescribeObservabilityConfigurationInput {
		return &apprunner.DescribeObservabilityConfigurationInput{ObservabilityConfigurationArn: &arn}
	}
	b.refuse(describe(observabilityARN("none")), "ResourceNotFoundException", "not found")
	b.refuse(describe(noService), "InvalidRequestException", "is not the ARN of an observability configuration")
	if n := b.observability("traces").ObservabilityConfigurationRevision; n != 2 {
		t.Errorf("after revision 2 was deleted, the next is %v", n)
	}
}

// The inputs are JSON: the SDK's struct can't tell an absent LatestOnly from
// false.
func TestListObservability(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.observability("traces")
	b.observability("traces")
	for parameters, want := range map[string][]string{
		``:                    {"DefaultConfiguration/1", "traces/2"},
		`,"LatestOnly":true`:  {"DefaultConfiguration/1", "traces/2"},
		`,"LatestOnly":false`: {"DefaultConfiguration/1", "traces/1", "traces/2"},
		`,"LatestOnly":false,"ObservabilityConfigurationName":"traces"`: {"traces/1", "traces/2"},
		`,"ObservabilityConfigurationName":"none1"`:                     nil,
	} {
		got := pages(b, 1, func(max *int32, token *string) (names []string, next *string) {
			body := fmt.Sprintf(`{"MaxResults":%d%s}`, *max, parameters)
			if token != nil {
				body = fmt.Sprintf(`{"MaxResults":%d,"NextToken":%q%s}`, *max, *token, parameters)
			}
			out, err := b.Invoke("apprunner:ListObservabilityConfigurations", body)
			if err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			list := out.(*apprunner.ListObservabilityConfigurationsOutput)
			for _, c := range list.ObservabilityConfigurationSummaryList {
				arn := strings.TrimPrefix(*c.ObservabilityConfigurationArn, observabilityARN(""))
				names = append(names, strings.Join(strings.Split(arn, "/")[:2], "/"))
			}
			return names, list.NextToken
		}, nil)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("list with %q (-want +got):\n%s", parameters, d)
		}
	}
}

func TestObservabilityQuotas(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *api.Config) { c.Quotas.ObservabilityNames, c.Quotas.ObservabilityRevisions = 2, 3 })
	for range 3 {
		b.observability("one1")
	}
	b.observability("two2")
	b.refuse(newObservability("one1"), "ServiceQuotaExceededException", "limit of 3 revisions of observability configuration one1")
	b.refuse(newObservability("three"), "ServiceQuotaExceededException", "limit of 2 observability configurations")
}

// A service may use any active revision, and keeps it from being deleted.
func TestObservabilityOfAService(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.observability("traces")
	arn := *b.observability("traces").ObservabilityConfigurationArn
	enabled := types.ServiceObservabilityConfiguration{ObservabilityEnabled: true}
	using := func(arn string) types.ServiceObservabilityConfiguration {
		return types.ServiceObservabilityConfiguration{ObservabilityEnabled: true, ObservabilityConfigurationArn: &arn}
	}
	service := b.create("shop", withObservability(using(observabilityARN("traces"))))
	shown := func() string {
		return *b.describe(service).ObservabilityConfiguration.ObservabilityConfigurationArn
	}
	if shown() != arn {
		t.Errorf("a service made with the short ARN uses %v, want %s", shown(), arn)
	}
	b.refuse(removeObservability(arn), "InvalidRequestException", "a service uses it")
	update := func(c types.ServiceObservabilityConfiguration) {
		t.Helper()
		b.must(&apprunner.UpdateServiceInput{ServiceArn: &service, ObservabilityConfiguration: &c})
		b.end(service, slipway.OperationSucceeded, slipway.StatusRunning)
	}
	update(enabled)
	if shown() != arn {
		t.Errorf("an update that names no configuration made it %v, want %s", shown(), arn)
	}
	update(using(observabilityARN("traces", "1")))
	if st := b.deleteObservability(arn).Status; st != types.ObservabilityConfigurationStatusInactive {
		t.Errorf("the revision that is no longer used is %s after its deletion", st)
	}
	again := using(arn)
	b.refuse(&apprunner.UpdateServiceInput{ServiceArn: &service, ObservabilityConfiguration: &again}, "InvalidRequestException", "Observability configuration not found: "+arn)
	update(types.ServiceObservabilityConfiguration{ObservabilityEnabled: false})
	b.deleteObservability(observabilityARN("traces", "1"))
	update(enabled)
	if shown() != defaultObservability {
		t.Errorf("enabled without a configuration, it uses %v", shown())
	}
}
