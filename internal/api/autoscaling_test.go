package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
)

// scaling creates a configuration and returns it.
func (b *bench) scaling(name string, members ...string) map[string]any {
	b.Helper()
	doc := b.ok("CreateAutoScalingConfiguration", `{`+strings.Join(append([]string{`"AutoScalingConfigurationName":"` + name + `"`}, members...), ",")+`}`)
	return doc["AutoScalingConfiguration"].(map[string]any)
}

func (b *bench) describeScaling(arn string) map[string]any {
	b.Helper()
	return at(b, b.ok("DescribeAutoScalingConfiguration", scalingBody(arn)), "AutoScalingConfiguration").(map[string]any)
}

func scalingBody(arn string, members ...string) string {
	return `{` + strings.Join(append([]string{`"AutoScalingConfigurationArn":"` + arn + `"`}, members...), ",") + `}`
}

func scalingARN(parts ...string) string {
	return prefix + "autoscalingconfiguration/" + strings.Join(parts, "/")
}

func TestProvidedAutoScaling(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	want := parse(t, `{"AutoScalingConfigurationArn":"`+defaultScaling+`","AutoScalingConfigurationName":"DefaultConfiguration",
		"AutoScalingConfigurationRevision":1,"Latest":true,"Status":"active","MaxConcurrency":100,"MinSize":1,"MaxSize":25,
		"CreatedAt":1800000000.123,"HasAssociatedService":false,"IsDefault":true}`)
	if d := cmp.Diff(want, b.describeScaling(defaultScaling)); d != "" {
		t.Errorf("the provided configuration (-want +got):\n%s", d)
	}
	for _, m := range []string{"Latest", "MaxConcurrency", "MinSize", "MaxSize"} {
		delete(want, m)
	}
	if d := cmp.Diff([]any{want}, b.ok("ListAutoScalingConfigurations", "{}")["AutoScalingConfigurationSummaryList"]); d != "" {
		t.Errorf("its summary (-want +got):\n%s", d)
	}
	b.refused("DeleteAutoScalingConfiguration", scalingBody(defaultScaling), "InvalidRequestException",
		"You can't delete a reserved auto scaling configuration")
	b.refused("DeleteAutoScalingConfiguration", scalingBody(scalingARN("DefaultConfiguration"), `"DeleteAllRevisions":true`), "InvalidRequestException",
		"You can't delete a reserved auto scaling configuration")
}

func TestCreateAutoScaling(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	got := b.scaling("fast", `"MaxConcurrency":50,"MinSize":2,"MaxSize":10`)
	arn := got["AutoScalingConfigurationArn"].(string)
	if !strings.HasPrefix(arn, scalingARN("fast", "1")+"/") || len(arn) != len(scalingARN("fast", "1"))+33 {
		t.Errorf("ARN %s", arn)
	}
	want := parse(t, `{"AutoScalingConfigurationArn":"`+arn+`","AutoScalingConfigurationName":"fast","AutoScalingConfigurationRevision":1,
		"Latest":true,"Status":"active","MaxConcurrency":50,"MinSize":2,"MaxSize":10,"CreatedAt":1800000000.123,"HasAssociatedService":false,"IsDefault":false}`)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the reply (-want +got):\n%s", d)
	}
	if d := cmp.Diff(want, b.describeScaling(arn)); d != "" {
		t.Errorf("DescribeAutoScalingConfiguration (-want +got):\n%s", d)
	}
	create := func(members string) string { return `{"AutoScalingConfigurationName":"slow",` + members + `}` }
	b.refused("CreateAutoScalingConfiguration", create(`"MinSize":5,"MaxSize":4`), "InvalidRequestException", "MinSize is 5; it must not be greater than MaxSize, which is 4.")
	b.refused("CreateAutoScalingConfiguration", create(`"MaxSize":26`), "InvalidRequestException", "MaxSize is 26; a service can have at most 25 instances.")
	b.refused("CreateAutoScalingConfiguration", create(`"Tags":[{"Key":"slipway:x"}]`), "InvalidRequestException", "no setting that this server knows for the resource type autoscalingconfiguration")
}

// Numbers are one above the highest active revision, as two of Terraform's
// acceptance tests have it.
func TestRevisions(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one := b.scaling("fast")["AutoScalingConfigurationArn"].(string)
	b.ok("DeleteAutoScalingConfiguration", scalingBody(one))
	again := b.scaling("fast")
	if again["AutoScalingConfigurationRevision"] != 1.0 || again["AutoScalingConfigurationArn"] == one {
		t.Errorf("after revision 1 of a name was deleted, the next is %v", again)
	}
	two := b.scaling("fast")["AutoScalingConfigurationArn"].(string)
	first := again["AutoScalingConfigurationArn"].(string)
	if b.describeScaling(first)["Latest"] != false || b.describeScaling(two)["Latest"] != true {
		t.Error("the second revision is not the latest one alone")
	}
	for text, want := range map[string]string{scalingARN("fast"): two, scalingARN("fast", "1"): first, scalingARN("fast", "2"): two, first: first} {
		if got := b.describeScaling(text)["AutoScalingConfigurationArn"]; got != want {
			t.Errorf("%s names %s, want %s", text, got, want)
		}
	}
	b.Clock.Advance(time.Second)
	deleted := at(t, b.ok("DeleteAutoScalingConfiguration", scalingBody(scalingARN("fast"))), "AutoScalingConfiguration").(map[string]any)
	if deleted["AutoScalingConfigurationArn"] != two || deleted["Status"] != "inactive" || deleted["Latest"] != false || deleted["DeletedAt"] != 1800000001.123 {
		t.Errorf("deleting by name answers %v", deleted)
	}
	if d := cmp.Diff(deleted, b.describeScaling(two)); d != "" {
		t.Errorf("a deleted revision is not describable as it was (-want +got):\n%s", d)
	}
	if b.describeScaling(first)["Latest"] != true {
		t.Error("after the latest was deleted, the one before is not the latest")
	}
	if n := b.scaling("fast")["AutoScalingConfigurationRevision"]; n != 2.0 {
		t.Errorf("after revision 2 was deleted, the next is %v", n)
	}
	b.ok("DeleteAutoScalingConfiguration", scalingBody(first))
	if n := b.scaling("fast")["AutoScalingConfigurationRevision"]; n != 3.0 {
		t.Errorf("after revision 1 of 2 was deleted, the next is %v", n)
	}
	for _, op := range []string{"DeleteAutoScalingConfiguration", "UpdateDefaultAutoScalingConfiguration", "ListServicesForAutoScalingConfiguration"} {
		b.refused(op, scalingBody(two), "ResourceNotFoundException", "Auto scaling configuration not found: "+two)
	}
	b.refused("CreateService", `{"ServiceName":"shop",`+image+`,"AutoScalingConfigurationArn":"`+two+`"}`, "InvalidRequestException", "Auto scaling configuration not found: "+two)
	b.refused("DescribeAutoScalingConfiguration", scalingBody(scalingARN("fast", "9")), "ResourceNotFoundException", "not found")
	b.refused("DescribeAutoScalingConfiguration", scalingBody(scalingARN("fast", "x")), "ResourceNotFoundException", "not found")
	b.refused("DescribeAutoScalingConfiguration", scalingBody(strings.Replace(scalingARN("fast"), "us-east-1", "eu-west-1", 1)), "ResourceNotFoundException", "not found")
}

func TestDeleteAllRevisions(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one := b.scaling("fast")["AutoScalingConfigurationArn"].(string)
	two := b.scaling("fast")["AutoScalingConfigurationArn"].(string)
	all := `"DeleteAllRevisions":true`
	b.refused("DeleteAutoScalingConfiguration", scalingBody(one, all), "InvalidRequestException", "DeleteAllRevisions needs an ARN that ends with the configuration's name")
	arn := b.create("shop", withScaling(one))
	b.refused("DeleteAutoScalingConfiguration", scalingBody(scalingARN("fast"), all), "InvalidRequestException", "You can't delete "+one+": a service uses it.")
	if b.describeScaling(two)["Status"] != "active" {
		t.Error("a refused call deleted one of the revisions")
	}
	b.ok("DeleteService", arnBody(arn))
	b.end(arn, slipway.OperationSucceeded, slipway.StatusDeleted)
	got := b.ok("DeleteAutoScalingConfiguration", scalingBody(scalingARN("fast"), all))
	want := parse(t, `{"AutoScalingConfiguration":{"AutoScalingConfigurationArn":"`+scalingARN("fast")+`","AutoScalingConfigurationName":"fast","Status":"inactive"}}`)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the reply (-want +got):\n%s", d)
	}
	for _, arn := range []string{one, two} {
		if b.describeScaling(arn)["Status"] != "inactive" {
			t.Errorf("%s is still active", arn)
		}
	}
	b.refused("DeleteAutoScalingConfiguration", scalingBody(scalingARN("fast"), all), "ResourceNotFoundException", "not found")
}

func TestUpdateDefaultAutoScaling(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	before := b.create("before")
	b.scaling("fast")
	one := b.describeScaling(scalingARN("fast"))["AutoScalingConfigurationArn"].(string)
	got := at(t, b.ok("UpdateDefaultAutoScalingConfiguration", scalingBody(scalingARN("fast"))), "AutoScalingConfiguration").(map[string]any)
	if got["AutoScalingConfigurationArn"] != one || got["IsDefault"] != true {
		t.Errorf("the reply is %v", got)
	}
	b.ok("UpdateDefaultAutoScalingConfiguration", scalingBody(one)) // again: nothing changes
	if b.describeScaling(defaultScaling)["IsDefault"] != false {
		t.Error("the former default is still the default")
	}
	after := b.create("after")
	for arn, want := range map[string]string{before: defaultScaling, after: one} {
		if got := at(t, b.ok("DescribeService", arnBody(arn)), "Service", "AutoScalingConfigurationSummary", "AutoScalingConfigurationArn"); got != want {
			t.Errorf("%s uses %s, want %s", arn, got, want)
		}
	}
	b.refused("DeleteAutoScalingConfiguration", scalingBody(one), "InvalidRequestException", "it is the default auto scaling configuration")
	b.refused("DeleteAutoScalingConfiguration", scalingBody(defaultScaling), "InvalidRequestException", "a service uses it")
	b.ok("UpdateDefaultAutoScalingConfiguration", scalingBody(scalingARN("DefaultConfiguration", "1")))
	if b.describeScaling(defaultScaling)["IsDefault"] != true {
		t.Error("DefaultConfiguration can't become the default again")
	}
}

// LatestOnly: absent lists the default revision besides the latest ones.
func TestLatestOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.scaling("fast")
	b.scaling("fast")
	b.ok("UpdateDefaultAutoScalingConfiguration", scalingBody(scalingARN("fast", "1")))
	list := func(body string) (names []string) {
		for _, v := range b.ok("ListAutoScalingConfigurations", body)["AutoScalingConfigurationSummaryList"].([]any) {
			m := v.(map[string]any)
			names = append(names, fmt.Sprintf("%s/%v", m["AutoScalingConfigurationName"], m["AutoScalingConfigurationRevision"]))
		}
		return names
	}
	for body, want := range map[string][]string{
		`{}`:                   {"DefaultConfiguration/1", "fast/1", "fast/2"},
		`{"LatestOnly":null}`:  {"DefaultConfiguration/1", "fast/1", "fast/2"},
		`{"LatestOnly":true}`:  {"DefaultConfiguration/1", "fast/2"},
		`{"LatestOnly":false}`: {"DefaultConfiguration/1", "fast/1", "fast/2"},
		`{"AutoScalingConfigurationName":"fast","LatestOnly":true}`:  {"fast/2"},
		`{"AutoScalingConfigurationName":"fast","LatestOnly":false}`: {"fast/1", "fast/2"},
		`{"AutoScalingConfigurationName":"none"}`:                    nil,
	} {
		if d := cmp.Diff(want, list(body)); d != "" {
			t.Errorf("%s (-want +got):\n%s", body, d)
		}
	}
	b.ok("UpdateDefaultAutoScalingConfiguration", scalingBody(defaultScaling))
	if d := cmp.Diff([]string{"DefaultConfiguration/1", "fast/2"}, list(`{}`)); d != "" {
		t.Errorf("absent, with the default among the latest (-want +got):\n%s", d)
	}
}

func TestAutoScalingInUse(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one := b.scaling("fast")["AutoScalingConfigurationArn"].(string)
	two := b.scaling("fast")["AutoScalingConfigurationArn"].(string)
	// A name binds the latest revision at the time of the call.
	arn := b.create("shop", withScaling(scalingARN("fast")))
	using := func(text string) []any {
		return b.ok("ListServicesForAutoScalingConfiguration", scalingBody(text))["ServiceArnList"].([]any)
	}
	if d := cmp.Diff([]any{arn}, using(two)); d != "" {
		t.Errorf("services of revision 2 (-want +got):\n%s", d)
	}
	if len(using(one)) != 0 || b.describeScaling(one)["HasAssociatedService"] != false || b.describeScaling(two)["HasAssociatedService"] != true {
		t.Error("revision 1 is in use, or revision 2 is not")
	}
	b.refused("DeleteAutoScalingConfiguration", scalingBody(two), "InvalidRequestException", "a service uses it")
	// While an update to revision 1 is live neither can go.
	b.ok("UpdateService", arnBody(arn, `"AutoScalingConfigurationArn":"`+one+`"`))
	for _, r := range []string{one, two} {
		b.refused("DeleteAutoScalingConfiguration", scalingBody(r), "InvalidRequestException", "a service uses it")
	}
	b.end(arn, slipway.OperationSucceeded, slipway.StatusRunning)
	b.ok("DeleteAutoScalingConfiguration", scalingBody(two))
	if got := at(t, b.ok("DescribeService", arnBody(arn)), "Service", "AutoScalingConfigurationSummary"); cmp.Diff(any(map[string]any{
		"AutoScalingConfigurationArn": one, "AutoScalingConfigurationName": "fast", "AutoScalingConfigurationRevision": 1.0,
	}), got) != "" {
		t.Errorf("the service shows %v", got)
	}
}

func TestAutoScalingQuotas(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *api.Config) { c.Quotas = api.Quotas{AutoScalingNames: 2, AutoScalingRevisions: 2, Instances: 3} })
	b.scaling("one1")
	b.scaling("one1")
	b.refused("CreateAutoScalingConfiguration", `{"AutoScalingConfigurationName":"one1"}`, "ServiceQuotaExceededException", "limit of 2 revisions of auto scaling configuration one1")
	b.scaling("two2")
	b.refused("CreateAutoScalingConfiguration", `{"AutoScalingConfigurationName":"three"}`, "ServiceQuotaExceededException", "limit of 2 auto scaling configurations")
	b.scaling("DefaultConfiguration")
	if got := b.scaling("two2")["MaxSize"]; got != 3.0 {
		t.Errorf("MaxSize defaults to %v where 3 instances are the most", got)
	}
	b.ok("DeleteAutoScalingConfiguration", scalingBody(scalingARN("one1")))
	b.scaling("one1")
}

func parse(t testing.TB, text string) (doc map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return doc
}
