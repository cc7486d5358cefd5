package deploy

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
)

func TestTraceVariables(t *testing.T) {
	t.Parallel()
	v := slipway.Service{Name: "shop", ARN: "arn:aws:apprunner:eu-west-1:000000000000:service/shop/0123"}
	env := []string{"A=1", "OTEL_PROPAGATORS=tracecontext,baggage", "OTEL_TRACES_EXPORTER="}
	want := []string{
		"A=1",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4317",
		"OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
		"OTEL_LOGS_EXPORTER=none",
		"OTEL_METRICS_EXPORTER=none",
		"OTEL_PROPAGATORS=tracecontext,baggage",
		"OTEL_RESOURCE_ATTRIBUTES=cloud.platform=aws_app_runner,cloud.resource_id=" + v.ARN + ",cloud.region=eu-west-1,cloud.account.id=000000000000",
		"OTEL_SERVICE_NAME=shop",
		"OTEL_TRACES_EXPORTER=", // set to nothing is set
	}
	if d := cmp.Diff(want, addMissing(env, traceVariables(v))); d != "" {
		t.Errorf("environment (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"A=1", "OTEL_PROPAGATORS=tracecontext,baggage", "OTEL_TRACES_EXPORTER="}, env); d != "" {
		t.Errorf("the environment that was given changed:\n%s", d)
	}
}
