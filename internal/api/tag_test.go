package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func (b *bench) tags(arn string) (list []string) {
	b.Helper()
	for _, t := range b.ok("ListTagsForResource", `{"ResourceArn":"`+arn+`"}`)["Tags"].([]any) {
		m := t.(map[string]any)
		list = append(list, m["Key"].(string)+"="+m["Value"].(string))
	}
	return list
}

func TestTags(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	service := b.create("shop", `"Tags":[{"Key":"z","Value":"1"},{"Key":"a"}]`)
	scaling := b.scaling("fast", `"Tags":[{"Key":"z","Value":"1"},{"Key":"a"}]`)["AutoScalingConfigurationArn"].(string)
	connection := b.connect("code", `"Tags":[{"Key":"z","Value":"1"},{"Key":"a"}]`)["ConnectionArn"].(string)
	observability := b.observability("traces", `"Tags":[{"Key":"z","Value":"1"},{"Key":"a"}]`)["ObservabilityConfigurationArn"].(string)
	connector := at(t, b.ok("CreateVpcConnector", `{"VpcConnectorName":"office","Subnets":["subnet-1"],"Tags":[{"Key":"z","Value":"1"},{"Key":"a"}]}`), "VpcConnector", "VpcConnectorArn").(string)
	ingress := at(t, b.ok("CreateVpcIngressConnection", newIngress("door", b.create("inner", private), "vpce-1", `"Tags":[{"Key":"z","Value":"1"},{"Key":"a"}]`)),
		"VpcIngressConnection", "VpcIngressConnectionArn").(string)
	for _, arn := range []string{service, scaling, connection, observability, connector, ingress} {
		if d := cmp.Diff([]string{"z=1", "a="}, b.tags(arn)); d != "" {
			t.Errorf("%s: tags of the creation (-want +got):\n%s", arn, d)
		}
		if got := b.ok("TagResource", `{"ResourceArn":"`+arn+`","Tags":[{"Key":"new","Value":"2"},{"Key":"z","Value":"3"}]}`); len(got) != 0 {
			t.Errorf("TagResource answers %v", got)
		}
		if d := cmp.Diff([]string{"z=3", "a=", "new=2"}, b.tags(arn)); d != "" {
			t.Errorf("%s: after TagResource (-want +got):\n%s", arn, d)
		}
		if got := b.ok("UntagResource", `{"ResourceArn":"`+arn+`","TagKeys":["z","none"]}`); len(got) != 0 {
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
	// The tags of a configuration belong to its revision; short ARNs name it.
	b.scaling("fast")
	if got := b.tags(scalingARN("fast")); got != nil {
		t.Errorf("a new revision has the tags %v of the one before", got)
	}
}

func TestTagLimits(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	many := func(from, to int) string {
		var list []string
		for i := from; i < to; i++ {
			list = append(list, fmt.Sprintf(`{"Key":"k%d","Value":"v"}`, i))
		}
		return `"Tags":[` + strings.Join(list, ",") + `]`
	}
	b.refused("CreateService", `{"ServiceName":"shop",`+image+`,`+many(0, 51)+`}`, "InvalidRequestException", "at most 50 tags")
	arn := b.create("shop", many(0, 49))
	tag := func(members string) string { return `{"ResourceArn":"` + arn + `",` + members + `}` }
	b.refused("TagResource", tag(many(48, 51)), "InvalidRequestException", "at most 50 tags")
	if n := len(b.tags(arn)); n != 49 {
		t.Errorf("a refused call left %d tags, want 49", n)
	}
	b.ok("TagResource", tag(many(0, 50)))
	b.refused("TagResource", tag(`"Tags":[{"Key":"slipway:size","Value":"1"}]`), "InvalidRequestException",
		`Tags: "slipway:size" is no setting that this server knows for the resource type service; the prefix slipway: is reserved for settings.`)
	b.refused("TagResource", tag(`"Tags":[{"Key":"aws:x"}]`), "InvalidRequestException", "'tags.1.member.key'")
	b.refused("UntagResource", tag(`"TagKeys":["aws:x"]`), "InvalidRequestException", "'tagKeys.1.member'")
	b.refused("TagResource", tag(`"Tags":[{}]`), "InvalidRequestException", "Value null at 'tags.1.member.key'")
	for _, unknown := range []string{noService, prefix + "connection/x/1", scalingARN("none")} {
		b.refused("ListTagsForResource", `{"ResourceArn":"`+unknown+`"}`, "ResourceNotFoundException", "not found: "+unknown)
	}
}
