package api_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
)

func (b *bench) tags(arn string) (list []string) {
	b.Helper()
	for _, t := range invoke[apprunner.ListTagsForResourceOutput](b, &apprunner.ListTagsForResourceInput{ResourceArn: &arn}).Tags {
		list = append(list, *t.Key+"="+*t.Value)
	}
	return list
}

// tag returns a tag; without a value it has none.
func tag(key string, value ...string) types.Tag {
	t := types.Tag{Key: &key}
	if len(value) > 0 {
		t.Value = &value[0]
	}
	return t
}

func TestTags(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	two := []types.Tag{tag("z", "1"), tag("a")}
	service := b.create("shop", withTags(two...))
	scaling := *invoke[apprunner.CreateAutoScalingConfigurationOutput](b, &apprunner.CreateAutoScalingConfigurationInput{
		AutoScalingConfigurationName: aws.String("fast"), Tags: two,
	}).AutoScalingConfiguration.AutoScalingConfigurationArn
	connection := *invoke[apprunner.CreateConnectionOutput](b, &apprunner.CreateConnectionInput{
		ConnectionName: aws.String("code"), ProviderType: types.ProviderTypeGithub, Tags: two,
	}).Connection.ConnectionArn
	observability := *invoke[apprunner.CreateObservabilityConfigurationOutput](b, &apprunner.CreateObservabilityConfigurationInput{
		ObservabilityConfigurationName: aws.String("traces"), Tags: two,
	}).ObservabilityConfiguration.ObservabilityConfigurationArn
	office := newConnector("office", "subnet-1")
	office.Tags = two
	connector := *invoke[apprunner.CreateVpcConnectorOutput](b, office).VpcConnector.VpcConnectorArn
	door := newIngress("door", b.create("inner", private), "vpce-1")
	door.Tags = two
	ingress := *invoke[apprunner.CreateVpcIngressConnectionOutput](b, door).VpcIngressConnection.VpcIngressConnectionArn
	for _, arn := range []string{service, scaling, connection, observability, connector, ingress} {
		if d := cmp.Diff([]string{"z=1", "a="}, b.tags(arn)); d != "" {
			t.Errorf("%s: tags of the creation (-want +got):\n%s", arn, d)
		}
		tagged := invoke[apprunner.TagResourceOutput](b, &apprunner.TagResourceInput{ResourceArn: &arn, Tags: []types.Tag{tag("new", "2"), tag("z", "3")}})
		if got := b.Doc(tagged); len(got) != 0 {
			t.Errorf("TagResource answers %v", got)
		}
		if d := cmp.Diff([]string{"z=3", "a=", "new=2"}, b.tags(arn)); d != "" {
			t.Errorf("%s: after TagResource (-want +got):\n%s", arn, d)
		}
		untagged := invoke[apprunner.UntagResourceOutput](b, &apprunner.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"z", "none"}})
		if got := b.Doc(untagged); len(got) != 0 {
			t.Errorf("UntagResource answers %v", got)
		}
		if d := cmp.Diff([]string{"a=", "new=2"}, b.tags(arn)); d != "" {
			t.Errorf("%s: after UntagResource (-want +got):\n%s", arn, d)
		}
	}
	untagged := b.create("bare")
	if got := b.tags(untagged); got != nil {
		t.Errorf("a service without tags has %v", got)
	}
	// The tags of a configuration belong to one revision, which a short ARN finds too.
	b.scaling("fast")
	if got := b.tags(scalingARN("fast")); got != nil {
		t.Errorf("a new revision has the tags %v of the one before", got)
	}
}

// Settings that contradict each other are refused by every call that sets or removes tags,
// and leave them as they are.
func TestSettingsTogether(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	setting := func(name, value string) types.Tag {
		return types.Tag{Key: aws.String("slipway:" + name), Value: &value}
	}
	shop := newService("shop")
	shop.Tags = []types.Tag{setting("stop-after", "60")}
	b.refuse(shop, "InvalidRequestException", "Tags: slipway:stop-after is 60, but the service keeps its MinSize; set slipway:min-size to 0 as well, or remove slipway:stop-after.")
	shop.Tags = []types.Tag{setting("min-size", "0"), setting("stop-after", "60")}
	arn := *invoke[apprunner.CreateServiceOutput](b, shop).Service.ServiceArn
	b.refuse(&apprunner.TagResourceInput{ResourceArn: &arn, Tags: []types.Tag{setting("sleep-after", "61")}}, "InvalidRequestException",
		"Tags: slipway:stop-after is 60 and slipway:sleep-after is 61; instances are frozen before they are stopped")
	b.refuse(&apprunner.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"slipway:min-size"}}, "InvalidRequestException", "Tags: slipway:stop-after is 60, but")
	invoke[apprunner.TagResourceOutput](b, &apprunner.TagResourceInput{ResourceArn: &arn, Tags: []types.Tag{setting("sleep-after", "61"), setting("stop-after", "62")}})
	if d := cmp.Diff([]string{"slipway:min-size=0", "slipway:stop-after=62", "slipway:sleep-after=61"}, b.tags(arn)); d != "" {
		t.Errorf("the tags (-want +got):\n%s", d)
	}
	invoke[apprunner.UntagResourceOutput](b, &apprunner.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"slipway:stop-after", "slipway:min-size"}})
}

func TestTagLimits(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	many := func(from, to int) (list []types.Tag) {
		for i := from; i < to; i++ {
			list = append(list, tag(fmt.Sprint("k", i), "v"))
		}
		return list
	}
	shop := newService("shop")
	shop.Tags = many(0, 51)
	b.refuse(shop, "InvalidRequestException", "at most 50 tags")
	shop.Tags = many(0, 49)
	arn := *invoke[apprunner.CreateServiceOutput](b, shop).Service.ServiceArn
	b.end(arn, slipway.OperationSucceeded, slipway.StatusRunning)
	set := func(tags ...types.Tag) *apprunner.TagResourceInput {
		return &apprunner.TagResourceInput{ResourceArn: &arn, Tags: tags}
	}
	b.refuse(set(many(48, 51)...), "InvalidRequestException", "at most 50 tags")
	if n := len(b.tags(arn)); n != 49 {
		t.Errorf("a refused call left %d tags, want 49", n)
	}
	invoke[apprunner.TagResourceOutput](b, set(many(0, 50)...))
	b.refuse(set(tag("slipway:size", "1")), "InvalidRequestException",
		`Tags: "slipway:size" is no setting that this server knows for the resource type service; the prefix slipway: is reserved for settings.`)
	b.refuse(set(tag("aws:x")), "InvalidRequestException", "'tags.1.member.key'")
	b.refuse(&apprunner.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"aws:x"}}, "InvalidRequestException", "'tagKeys.1.member'")
	b.refuse(set(types.Tag{}), "InvalidRequestException", "Value null at 'tags.1.member.key'")
	for _, unknown := range []string{noService, prefix + "connection/x/1", scalingARN("none")} {
		b.refuse(&apprunner.ListTagsForResourceInput{ResourceArn: &unknown}, "ResourceNotFoundException", "not found: "+unknown)
	}
}
