package api_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"

	"github.com/openslipway/slipway"
)

// elsewhere returns the ARN in another partition, region and account, and with the name
// in another case and longer.
func elsewhere(arn, name string) []string {
	return []string{
		strings.Replace(arn, "arn:aws:", "arn:aws-cn:", 1), strings.Replace(arn, region, "us-east-2", 1), strings.Replace(arn, ":0000", ":0001", 1),
		strings.Replace(arn, "/"+name, "/"+strings.ToUpper(name), 1), strings.Replace(arn, "/"+name, "/"+name+"x", 1), strings.Replace(arn, "/"+name, "/"+name[:len(name)-1], 1),
	}
}

// What an ARN without revision or id means, and what it never means.
func TestShortARNs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one, two := *b.scaling("high").AutoScalingConfigurationArn, *b.scaling("high").AutoScalingConfigurationArn
	traces, later := *b.observability("traces").ObservabilityConfigurationArn, *b.observability("traces").ObservabilityConfigurationArn
	conn := *b.connect("code").ConnectionArn
	shop := b.create("shop")
	cut := func(arn string, parts int) string { return strings.Join(strings.Split(arn, "/")[:1+parts], "/") }
	resolves := func(call, member, arn, want string) {
		t.Helper()
		w := b.call(call, `{"`+member+`":"`+arn+`"}`)
		if w.Code != 200 || !strings.Contains(w.Body.String(), `"`+want+`"`) {
			t.Errorf("%s %s: %d %s; want %s", call, arn, w.Code, w.Body, want)
		}
	}
	refused := func(call, member string, arns ...string) {
		t.Helper()
		for _, arn := range arns {
			b.Refused("AppRunner."+call, `{"`+member+`":"`+arn+`"}`, "ResourceNotFoundException", "not found")
		}
	}
	id := one[strings.LastIndexByte(one, '/')+1:]
	const scaling, scalingARN = "DescribeAutoScalingConfiguration", "AutoScalingConfigurationArn"
	for arn, want := range map[string]string{cut(one, 1): two, cut(one, 2): one, cut(two, 2): two, one: one, two: two} {
		resolves(scaling, scalingARN, arn, want)
	}
	refused(scaling, scalingARN, cut(two, 2)+"/"+id, cut(one, 1)+"/01", cut(one, 1)+"/0", cut(one, 1)+"/3", cut(one, 1)+"/latest")
	for _, arn := range []string{cut(one, 1), cut(one, 2), one} {
		refused(scaling, scalingARN, elsewhere(arn, "high")...)
		refused("DeleteAutoScalingConfiguration", scalingARN, elsewhere(arn, "high")...)
	}
	const tracing, tracingARN = "DescribeObservabilityConfiguration", "ObservabilityConfigurationArn"
	resolves(tracing, tracingARN, cut(traces, 1), later)
	resolves(tracing, tracingARN, cut(traces, 2), traces)
	refused(tracing, tracingARN, elsewhere(cut(traces, 1), "traces")...)
	refused("DeleteObservabilityConfiguration", tracingARN, elsewhere(cut(traces, 1), "traces")...)

	resolves("ListTagsForResource", "ResourceArn", cut(conn, 1), "Tags")
	for _, arn := range []string{cut(conn, 1), conn} {
		refused("DeleteConnection", "ConnectionArn", elsewhere(arn, "code")...)
	}
	resolves("DescribeService", "ServiceArn", cut(shop, 1), shop)
	for _, arn := range []string{cut(shop, 1), shop} {
		refused("DescribeService", "ServiceArn", elsewhere(arn, "shop")...)
		refused("DeleteService", "ServiceArn", elsewhere(arn, "shop")...)
		refused("PauseService", "ServiceArn", elsewhere(arn, "shop")...)
	}
	b.Refused("AppRunner.DeleteService", `{"ServiceArn":"`+cut(one, 1)+`"}`, "InvalidRequestException", "is not the ARN of a service")
	b.Refused("AppRunner.DescribeService", `{"ServiceArn":"shop"}`, "InvalidRequestException", "")

	// What is deleted is not replaced by what has its name now.
	b.deleteScaling(&apprunner.DeleteAutoScalingConfigurationInput{AutoScalingConfigurationArn: &two})
	resolves(scaling, scalingARN, cut(one, 1), one)
	refused(scaling, scalingARN, cut(two, 2))
	b.must(&apprunner.DeleteConnectionInput{ConnectionArn: &conn})
	again := *b.connect("code").ConnectionArn
	refused("DeleteConnection", "ConnectionArn", conn)
	b.delete(shop)
	b.end(shop, slipway.OperationSucceeded, slipway.StatusDeleted)
	other := b.create("shop")
	resolves("DescribeService", "ServiceArn", cut(shop, 1), other)
	resolves("DescribeService", "ServiceArn", shop, shop)
	refused("DeleteService", "ServiceArn", shop)
	if got := aws.ToString(b.connections(aws.String("code"))[0].ConnectionArn); got != again {
		t.Errorf("the connection is %s, want %s", got, again)
	}
}
