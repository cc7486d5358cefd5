package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
)

func observabilityBody(arn string) string { return `{"ObservabilityConfigurationArn":"` + arn + `"}` }

func observabilityARN(parts ...string) string {
	return prefix + "observabilityconfiguration/" + strings.Join(parts, "/")
}

func (b *bench) observability(name string, members ...string) map[string]any {
	b.Helper()
	doc := b.ok("CreateObservabilityConfiguration", `{`+strings.Join(append([]string{`"ObservabilityConfigurationName":"` + name + `"`}, members...), ",")+`}`)
	return doc["ObservabilityConfiguration"].(map[string]any)
}

func (b *bench) describeObservability(arn string) map[string]any {
	b.Helper()
	return at(b, b.ok("DescribeObservabilityConfiguration", observabilityBody(arn)), "ObservabilityConfiguration").(map[string]any)
}

func TestProvidedObservability(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	want := parse(t, `{"ObservabilityConfigurationArn":"`+defaultObservability+`","ObservabilityConfigurationName":"DefaultConfiguration",
		"ObservabilityConfigurationRevision":1,"Latest":true,"Status":"ACTIVE","TraceConfiguration":{"Vendor":"AWSXRAY"},"CreatedAt":1800000000.123}`)
	for _, arn := range []string{defaultObservability, observabilityARN("DefaultConfiguration"), observabilityARN("DefaultConfiguration", "1")} {
		if d := cmp.Diff(want, b.describeObservability(arn)); d != "" {
			t.Errorf("%s (-want +got):\n%s", arn, d)
		}
	}
	b.refused("DeleteObservabilityConfiguration", observabilityBody(defaultObservability), "InvalidRequestException", "reserved")
	b.refused("CreateObservabilityConfiguration", `{"ObservabilityConfigurationName":"DefaultConfiguration"}`, "InvalidRequestException",
		"ObservabilityConfigurationName DefaultConfiguration is reserved")
}

func TestObservabilityRevisions(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one := b.observability("traces")
	arn := one["ObservabilityConfigurationArn"].(string)
	want := parse(t, `{"ObservabilityConfigurationArn":"`+arn+`","ObservabilityConfigurationName":"traces",
		"ObservabilityConfigurationRevision":1,"Latest":true,"Status":"ACTIVE","CreatedAt":1800000000.123}`)
	if d := cmp.Diff(want, one); d != "" || !strings.HasPrefix(arn, observabilityARN("traces", "1")+"/") {
		t.Errorf("created (-want +got):\n%s", d)
	}
	two := b.observability("traces", `"TraceConfiguration":{"Vendor":"AWSXRAY"}`)
	if two["ObservabilityConfigurationRevision"] != 2.0 || two["TraceConfiguration"].(map[string]any)["Vendor"] != "AWSXRAY" {
		t.Errorf("the second revision is %v", two)
	}
	want["Latest"] = false
	if d := cmp.Diff(want, b.describeObservability(arn)); d != "" {
		t.Errorf("the first after the second (-want +got):\n%s", d)
	}
	second := two["ObservabilityConfigurationArn"].(string)
	for text, want := range map[string]string{observabilityARN("traces"): second, observabilityARN("traces", "1"): arn, second: second} {
		if got := b.describeObservability(text)["ObservabilityConfigurationArn"]; got != want {
			t.Errorf("%s names %s, want %s", text, got, want)
		}
	}
	numbers := func(parameters string) (list []string) {
		for _, e := range b.list("ListObservabilityConfigurations", "ObservabilityConfigurationSummaryList", 1, parameters, member("ObservabilityConfigurationArn"), nil) {
			list = append(list, strings.Join(strings.Split(strings.TrimPrefix(e, observabilityARN("")), "/")[:2], "/"))
		}
		return list
	}
	for parameters, want := range map[string][]string{
		``:                    {"DefaultConfiguration/1", "traces/2"},
		`,"LatestOnly":true`:  {"DefaultConfiguration/1", "traces/2"},
		`,"LatestOnly":false`: {"DefaultConfiguration/1", "traces/1", "traces/2"},
		`,"LatestOnly":false,"ObservabilityConfigurationName":"traces"`: {"traces/1", "traces/2"},
		`,"ObservabilityConfigurationName":"none1"`:                     nil,
	} {
		if d := cmp.Diff(want, numbers(parameters)); d != "" {
			t.Errorf("list with %q (-want +got):\n%s", parameters, d)
		}
	}
	b.Clock.Advance(time.Second)
	deleted := at(t, b.ok("DeleteObservabilityConfiguration", observabilityBody(observabilityARN("traces"))), "ObservabilityConfiguration").(map[string]any)
	if deleted["ObservabilityConfigurationArn"] != second || deleted["Status"] != "INACTIVE" || deleted["Latest"] != false || deleted["DeletedAt"] != 1800000001.123 {
		t.Errorf("deleting by name answers %v", deleted)
	}
	if d := cmp.Diff(deleted, b.describeObservability(second)); d != "" {
		t.Errorf("a deleted revision is not describable as it was (-want +got):\n%s", d)
	}
	if b.describeObservability(arn)["Latest"] != true {
		t.Error("after the latest was deleted, the one before is not the latest")
	}
	b.refused("DeleteObservabilityConfiguration", observabilityBody(second), "ResourceNotFoundException", "Observability configuration not found: "+second)
	b.refused("DescribeObservabilityConfiguration", observabilityBody(observabilityARN("none")), "ResourceNotFoundException", "not found")
	b.refused("DescribeObservabilityConfiguration", observabilityBody(noService), "InvalidRequestException", "is not the ARN of an observability configuration")
	if n := b.observability("traces")["ObservabilityConfigurationRevision"]; n != 2.0 {
		t.Errorf("after revision 2 was deleted, the next is %v", n)
	}
}

func TestObservabilityQuotas(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *api.Config) { c.Quotas.ObservabilityNames, c.Quotas.ObservabilityRevisions = 2, 3 })
	for range 3 {
		b.observability("one1")
	}
	b.observability("two2")
	b.refused("CreateObservabilityConfiguration", `{"ObservabilityConfigurationName":"one1"}`, "ServiceQuotaExceededException", "limit of 3 revisions of observability configuration one1")
	b.refused("CreateObservabilityConfiguration", `{"ObservabilityConfigurationName":"three"}`, "ServiceQuotaExceededException", "limit of 2 observability configurations")
}

// A service may use any active revision, and keeps it from being deleted.
func TestObservabilityOfAService(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.observability("traces")
	arn := b.observability("traces")["ObservabilityConfigurationArn"].(string)
	uses := func(arn string) string {
		return `"ObservabilityConfiguration":{"ObservabilityEnabled":true,"ObservabilityConfigurationArn":"` + arn + `"}`
	}
	service := b.create("shop", withObservability(types.ServiceObservabilityConfiguration{
		ObservabilityEnabled: true, ObservabilityConfigurationArn: aws.String(observabilityARN("traces")),
	}))
	shown := func() any {
		return at(t, b.ok("DescribeService", arnBody(service)), "Service", "ObservabilityConfiguration", "ObservabilityConfigurationArn")
	}
	if shown() != arn {
		t.Errorf("a service made with the short ARN uses %v, want %s", shown(), arn)
	}
	b.refused("DeleteObservabilityConfiguration", observabilityBody(arn), "InvalidRequestException", "a service uses it")
	update := func(members string) {
		t.Helper()
		b.ok("UpdateService", arnBody(service, members))
		b.end(service, slipway.OperationSucceeded, slipway.StatusRunning)
	}
	update(`"ObservabilityConfiguration":{"ObservabilityEnabled":true}`)
	if shown() != arn {
		t.Errorf("an update that names no configuration made it %v, want %s", shown(), arn)
	}
	update(uses(observabilityARN("traces", "1")))
	deleted := b.ok("DeleteObservabilityConfiguration", observabilityBody(arn))["ObservabilityConfiguration"].(map[string]any)
	if deleted["Status"] != "INACTIVE" {
		t.Errorf("the revision that is not in use any more: %v", deleted)
	}
	b.refused("UpdateService", arnBody(service, uses(arn)), "InvalidRequestException", "Observability configuration not found: "+arn)
	update(`"ObservabilityConfiguration":{"ObservabilityEnabled":false}`)
	b.ok("DeleteObservabilityConfiguration", observabilityBody(observabilityARN("traces", "1")))
	update(`"ObservabilityConfiguration":{"ObservabilityEnabled":true}`)
	if shown() != defaultObservability {
		t.Errorf("enabled without a configuration, it uses %v", shown())
	}
}
