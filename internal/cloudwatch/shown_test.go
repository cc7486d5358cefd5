package cloudwatch_test

import (
	"testing"

	"github.com/openslipway/slipway/internal/cloudwatch"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
)

// A Deny on a group applies by whatever name a call gives it, and the group is not listed.
func TestDeniedGroup(t *testing.T) {
	t.Parallel()
	b := newLogBench(t)
	other := create(b.Bench, "cart")
	l, err := cloudwatch.New(cloudwatch.Config{Store: b.Store, Region: gatewaytest.Region, Account: gatewaytest.Account, Output: b.output})
	if err != nil {
		t.Fatal(err)
	}
	ann := logBench{b.Limited([]gateway.Service{l.Service()}, `{"Effect":"Allow","Action":"*","Resource":"*"},
		{"Effect":"Deny","Action":"*","Resource":"arn:aws:logs:*:*:log-group:/aws/apprunner/shop/*"}`), b.output, b.group}
	const prefix = "arn:aws:logs:us-east-1:000000000000:log-group:"
	group, allowed := b.group+"service", "/aws/apprunner/cart/"+other+"/service"
	for _, names := range []string{
		`"logGroupName":"` + group + `"`,
		`"logGroupName":"` + prefix + group + `"`,
		`"logGroupName":"` + prefix + group + `:*"`,
		`"logGroupIdentifier":"` + group + `"`,
		`"logGroupIdentifier":"` + prefix + group + `"`,
		`"logGroupIdentifier":"` + prefix + group + `:*"`,
		`"logGroupName":"` + group + `","logGroupIdentifier":"` + allowed + `"`,
	} {
		for operation, more := range map[string]string{"FilterLogEvents": "", "DescribeLogStreams": "", "GetLogEvents": `,"logStreamName":"events"`} {
			if w := ann.Send(ann.Request("Logs_20140328."+operation, `{`+names+more+`}`)); w.Code != 403 {
				t.Errorf("%s %s: %d %s", operation, names, w.Code, w.Body)
			}
		}
	}
	ann.logsRefused("FilterLogEvents", `{"logGroupName":"`+allowed+`","logGroupIdentifier":"`+group+`"}`, "InvalidParameterException", "Only one of")
	ann.logs("FilterLogEvents", `{"logGroupName":"`+prefix+allowed+`"}`)
	if got := len(ann.logs("DescribeLogGroups", `{}`)["logGroups"].([]any)); got != 2 {
		t.Errorf("ann sees %d groups, want the two of cart", got)
	}
	if got := len(b.logs("DescribeLogGroups", `{}`)["logGroups"].([]any)); got != 4 {
		t.Errorf("root sees %d groups, want 4", got)
	}
}
