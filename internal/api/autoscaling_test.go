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

// newScaling returns the input that creates a revision of a configuration.
func newScaling(name string) *apprunner.CreateAutoScalingConfigurationInput {
	return &apprunner.CreateAutoScalingConfigurationInput{AutoScalingConfigurationName: &name}
}

// scaling creates a revision of a configuration and returns it.
func (b *bench) scaling(name string) *types.AutoScalingConfiguration {
	b.Helper()
	return invoke[apprunner.CreateAutoScalingConfigurationOutput](b, newScaling(name)).AutoScalingConfiguration
}

func (b *bench) describeScaling(arn string) *types.AutoScalingConfiguration {
	b.Helper()
	return invoke[apprunner.DescribeAutoScalingConfigurationOutput](b,
		&apprunner.DescribeAutoScalingConfigurationInput{AutoScalingConfigurationArn: &arn}).AutoScalingConfiguration
}

// removeScaling returns the input that deletes a revision.
func removeScaling(arn string) *apprunner.DeleteAutoScalingConfigurationInput {
	return &apprunner.DeleteAutoScalingConfigurationInput{AutoScalingConfigurationArn: &arn}
}

// removeScalings returns the input that deletes all revisions of a name.
func removeScalings(arn string) *apprunner.DeleteAutoScalingConfigurationInput {
	return &apprunner.DeleteAutoScalingConfigurationInput{AutoScalingConfigurationArn: &arn, DeleteAllRevisions: true}
}

func (b *bench) deleteScaling(in *apprunner.DeleteAutoScalingConfigurationInput) *types.AutoScalingConfiguration {
	b.Helper()
	return invoke[apprunner.DeleteAutoScalingConfigurationOutput](b, in).AutoScalingConfiguration
}

// defaultTo makes a revision the default.
func (b *bench) defaultTo(arn string) *types.AutoScalingConfiguration {
	b.Helper()
	return invoke[apprunner.UpdateDefaultAutoScalingConfigurationOutput](b,
		&apprunner.UpdateDefaultAutoScalingConfigurationInput{AutoScalingConfigurationArn: &arn}).AutoScalingConfiguration
}

// listScalings lists configurations. The input is JSON: the SDK's struct can't
// tell an absent LatestOnly from false.
func (b *bench) listScalings(body string) *apprunner.ListAutoScalingConfigurationsOutput {
	b.Helper()
	out, err := b.Invoke("apprunner:ListAutoScalingConfigurations", body)
	if err != nil {
		b.Fatalf("ListAutoScalingConfigurations %s: %v", body, err)
	}
	return out.(*apprunner.ListAutoScalingConfigurationsOutput)
}

func scalingARN(parts ...string) string {
	return prefix + "autoscalingconfiguration/" + strings.Join(parts, "/")
}

// wantScaling returns the first revision of a configuration with the default
// values.
func wantScaling(arn, name string) types.AutoScalingConfiguration {
	return types.AutoScalingConfiguration{
		AutoScalingConfigurationArn: &arn, AutoScalingConfigurationName: &name, AutoScalingConfigurationRevision: aws.Int32(1),
		Latest: aws.Bool(true), Status: "active", // in lower case, unlike the model's enumeration
		MaxConcurrency: aws.Int32(100), MinSize: aws.Int32(1), MaxSize: aws.Int32(25),
		CreatedAt: &t0, HasAssociatedService: aws.Bool(false), IsDefault: aws.Bool(false),
	}
}

func TestProvidedAutoScaling(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	want := wantScaling(defaultScaling, "DefaultConfiguration")
	want.IsDefault = aws.Bool(true)
	if d := diff(&want, b.describeScaling(defaultScaling)); d != "" {
		t.Errorf("the provided configuration (-want +got):\n%s", d)
	}
	summary := types.AutoScalingConfigurationSummary{
		AutoScalingConfigurationArn: want.AutoScalingConfigurationArn, AutoScalingConfigurationName: want.AutoScalingConfigurationName,
		AutoScalingConfigurationRevision: 1, Status: want.Status, CreatedAt: &t0, HasAssociatedService: aws.Bool(false), IsDefault: aws.Bool(true),
	}
	if d := diff([]types.AutoScalingConfigurationSummary{summary}, b.listScalings("{}").AutoScalingConfigurationSummaryList); d != "" {
		t.Errorf("its summary (-want +got):\n%s", d)
	}
	b.refuse(removeScaling(defaultScaling), "InvalidRequestException", "You can't delete a reserved auto scaling configuration")
	b.refuse(removeScalings(scalingARN("DefaultConfiguration")), "InvalidRequestException", "You can't delete a reserved auto scaling configuration")
}

func TestCreateAutoScaling(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	in := newScaling("fast")
	in.MaxConcurrency, in.MinSize, in.MaxSize = aws.Int32(50), aws.Int32(2), aws.Int32(10)
	got := invoke[apprunner.CreateAutoScalingConfigurationOutput](b, in).AutoScalingConfiguration
	arn := *got.AutoScalingConfigurationArn
	if !strings.HasPrefix(arn, scalingARN("fast", "1")+"/") || len(arn) != len(scalingARN("fast", "1"))+33 {
		t.Errorf("ARN %s", arn)
	}
	want := wantScaling(arn, "fast")
	want.MaxConcurrency, want.MinSize, want.MaxSize = aws.Int32(50), aws.Int32(2), aws.Int32(10)
	if d := diff(&want, got); d != "" {
		t.Errorf("the reply (-want +got):\n%s", d)
	}
	if d := diff(&want, b.describeScaling(arn)); d != "" {
		t.Errorf("DescribeAutoScalingConfiguration (-want +got):\n%s", d)
	}
	for message, change := range map[string]func(*apprunner.CreateAutoScalingConfigurationInput){
		"MinSize is 5; it must not be greater than MaxSize, which is 4.": func(in *apprunner.CreateAutoScalingConfigurationInput) {
			in.MinSize, in.MaxSize = aws.Int32(5), aws.Int32(4)
		},
		"MaxSize is 26; a service can have at most 25 instances.": func(in *apprunner.CreateAutoScalingConfigurationInput) {
			in.MaxSize = aws.Int32(26)
		},
		"no setting that this server knows for the resource type autoscalingconfiguration": func(in *apprunner.CreateAutoScalingConfigurationInput) {
			in.Tags = []types.Tag{tag("slipway:x")}
		},
	} {
		slow := newScaling("slow")
		change(slow)
		b.refuse(slow, "InvalidRequestException", message)
	}
}

// Numbers are one above the highest active revision, as two of Terraform's
// acceptance tests expect.
func TestRevisions(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one := *b.scaling("fast").AutoScalingConfigurationArn
	b.deleteScaling(removeScaling(one))
	again := b.scaling("fast")
	if *again.AutoScalingConfigurationRevision != 1 || *again.AutoScalingConfigurationArn == one {
		t.Errorf("after revision 1 of a name was deleted, the next is %v", b.Doc(again))
	}
	two := *b.scaling("fast").AutoScalingConfigurationArn
	first := *again.AutoScalingConfigurationArn
	if *b.describeScaling(first).Latest || !*b.describeScaling(two).Latest {
		t.Error("not only the second revision is the latest one")
	}
	for text, want := range map[string]string{scalingARN("fast"): two, scalingARN("fast", "1"): first, scalingARN("fast", "2"): two, first: first} {
		if got := *b.describeScaling(text).AutoScalingConfigurationArn; got != want {
			t.Errorf("%s names %s, want %s", text, got, want)
		}
	}
	b.Clock.Advance(time.Second)
	deleted := b.deleteScaling(removeScaling(scalingARN("fast")))
	want := wantScaling(two, "fast")
	want.AutoScalingConfigurationRevision, want.Status = aws.Int32(2), "inactive"
	want.Latest, want.DeletedAt = aws.Bool(false), aws.Time(t0.Add(time.Second))
	if d := diff(&want, deleted); d != "" {
		t.Errorf("deleted by name (-want +got):\n%s", d)
	}
	if d := diff(&want, b.describeScaling(two)); d != "" {
		t.Errorf("a deleted revision is not describable as it was (-want +got):\n%s", d)
	}
	if !*b.describeScaling(first).Latest {
		t.Error("after the latest was deleted, the one before is not the latest")
	}
	if n := *b.scaling("fast").AutoScalingConfigurationRevision; n != 2 {
		t.Errorf("after revision 2 was deleted, the next is %v", n)
	}
	b.deleteScaling(removeScaling(first))
	if n := *b.scaling("fast").AutoScalingConfigurationRevision; n != 3 {
		t.Errorf("after revision 1 of 2 was deleted, the next is %v", n)
	}
	for _, in := range []any{
		removeScaling(two),
		&apprunner.UpdateDefaultAutoScalingConfigurationInput{AutoScalingConfigurationArn: &two},
		&apprunner.ListServicesForAutoScalingConfigurationInput{AutoScalingConfigurationArn: &two},
	} {
		b.refuse(in, "ResourceNotFoundException", "Auto scaling configuration not found: "+two)
	}
	b.refuse(newService("shop", withScaling(two)), "InvalidRequestException", "Auto scaling configuration not found: "+two)
	for _, unknown := range []string{scalingARN("fast", "9"), scalingARN("fast", "x"), strings.Replace(scalingARN("fast"), "us-east-1", "eu-west-1", 1)} {
		b.refuse(&apprunner.DescribeAutoScalingConfigurationInput{AutoScalingConfigurationArn: &unknown}, "ResourceNotFoundException", "not found")
	}
}

func TestDeleteAllRevisions(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one := *b.scaling("fast").AutoScalingConfigurationArn
	two := *b.scaling("fast").AutoScalingConfigurationArn
	all := removeScalings(scalingARN("fast"))
	b.refuse(removeScalings(one), "InvalidRequestException", "DeleteAllRevisions needs an ARN that ends with the configuration's name")
	arn := b.create("shop", withScaling(one))
	b.refuse(all, "InvalidRequestException", "You can't delete "+one+": a service uses it.")
	if b.describeScaling(two).Status != "active" {
		t.Error("a refused call deleted one of the revisions")
	}
	b.delete(arn)
	b.end(arn, slipway.OperationSucceeded, slipway.StatusDeleted)
	want := &types.AutoScalingConfiguration{
		AutoScalingConfigurationArn: aws.String(scalingARN("fast")), AutoScalingConfigurationName: aws.String("fast"), Status: "inactive",
	}
	if d := diff(want, b.deleteScaling(all)); d != "" {
		t.Errorf("the reply (-want +got):\n%s", d)
	}
	for _, arn := range []string{one, two} {
		if b.describeScaling(arn).Status != "inactive" {
			t.Errorf("%s is still active", arn)
		}
	}
	b.refuse(all, "ResourceNotFoundException", "not found")
}

func TestUpdateDefaultAutoScaling(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	before := b.create("before")
	b.scaling("fast")
	one := *b.describeScaling(scalingARN("fast")).AutoScalingConfigurationArn
	want := wantScaling(one, "fast")
	want.IsDefault = aws.Bool(true)
	if d := diff(&want, b.defaultTo(scalingARN("fast"))); d != "" {
		t.Errorf("the reply (-want +got):\n%s", d)
	}
	b.defaultTo(one) // again: nothing changes
	if *b.describeScaling(defaultScaling).IsDefault {
		t.Error("the former default is still the default")
	}
	after := b.create("after")
	for arn, want := range map[string]string{before: defaultScaling, after: one} {
		if got := *b.describe(arn).AutoScalingConfigurationSummary.AutoScalingConfigurationArn; got != want {
			t.Errorf("%s uses %s, want %s", arn, got, want)
		}
	}
	b.refuse(removeScaling(one), "InvalidRequestException", "it is the default auto scaling configuration")
	b.refuse(removeScaling(defaultScaling), "InvalidRequestException", "a service uses it")
	b.defaultTo(scalingARN("DefaultConfiguration", "1"))
	if !*b.describeScaling(defaultScaling).IsDefault {
		t.Error("DefaultConfiguration can't become the default again")
	}
}

// LatestOnly: absent lists the default revision besides the latest ones.
func TestLatestOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.scaling("fast")
	b.scaling("fast")
	b.defaultTo(scalingARN("fast", "1"))
	list := func(body string) (names []string) {
		for _, c := range b.listScalings(body).AutoScalingConfigurationSummaryList {
			names = append(names, fmt.Sprintf("%s/%d", *c.AutoScalingConfigurationName, c.AutoScalingConfigurationRevision))
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
	b.defaultTo(defaultScaling)
	if d := cmp.Diff([]string{"DefaultConfiguration/1", "fast/2"}, list(`{}`)); d != "" {
		t.Errorf("absent, with the default among the latest (-want +got):\n%s", d)
	}
}

func TestAutoScalingInUse(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one := *b.scaling("fast").AutoScalingConfigurationArn
	two := *b.scaling("fast").AutoScalingConfigurationArn
	// A name binds the latest revision at the time of the call.
	arn := b.create("shop", withScaling(scalingARN("fast")))
	using := func(arn string) []string {
		return invoke[apprunner.ListServicesForAutoScalingConfigurationOutput](b,
			&apprunner.ListServicesForAutoScalingConfigurationInput{AutoScalingConfigurationArn: &arn}).ServiceArnList
	}
	if d := cmp.Diff([]string{arn}, using(two)); d != "" {
		t.Errorf("services of revision 2 (-want +got):\n%s", d)
	}
	if len(using(one)) != 0 || *b.describeScaling(one).HasAssociatedService || !*b.describeScaling(two).HasAssociatedService {
		t.Error("revision 1 is in use, or revision 2 is not")
	}
	b.refuse(removeScaling(two), "InvalidRequestException", "a service uses it")
	// During an update to revision 1 neither can be deleted.
	b.must(&apprunner.UpdateServiceInput{ServiceArn: &arn, AutoScalingConfigurationArn: &one})
	for _, r := range []string{one, two} {
		b.refuse(removeScaling(r), "InvalidRequestException", "a service uses it")
	}
	b.end(arn, slipway.OperationSucceeded, slipway.StatusRunning)
	b.deleteScaling(removeScaling(two))
	want := &types.AutoScalingConfigurationSummary{
		AutoScalingConfigurationArn: &one, AutoScalingConfigurationName: aws.String("fast"), AutoScalingConfigurationRevision: 1,
	}
	if d := diff(want, b.describe(arn).AutoScalingConfigurationSummary); d != "" {
		t.Errorf("the service shows (-want +got):\n%s", d)
	}
}

func TestAutoScalingQuotas(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *api.Config) { c.Quotas = api.Quotas{AutoScalingNames: 2, AutoScalingRevisions: 2, Instances: 3} })
	b.scaling("one1")
	b.scaling("one1")
	b.refuse(newScaling("one1"), "ServiceQuotaExceededException", "limit of 2 revisions of auto scaling configuration one1")
	b.scaling("two2")
	b.refuse(newScaling("three"), "ServiceQuotaExceededException", "limit of 2 auto scaling configurations")
	b.scaling("DefaultConfiguration")
	if got := *b.scaling("two2").MaxSize; got != 3 {
		t.Errorf("MaxSize defaults to %v where 3 instances are the most", got)
	}
	b.deleteScaling(removeScaling(scalingARN("one1")))
	b.scaling("one1")
}
