package deploy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// collectorEndpoint is where App Runner's instances find a collector of traces,
// by OTLP over gRPC (docs.aws.amazon.com/apprunner/latest/dg/monitor-xray.html).
const collectorEndpoint = "http://localhost:4317"

// traced reports whether a specification asks for traces.
func traced(tx *store.Tx, spec slipway.Spec) (bool, error) {
	o := spec.Observability
	if o == nil || !o.ObservabilityEnabled {
		return false, nil
	}
	c, err := tx.Observability(aws.ToString(o.ObservabilityConfigurationArn))
	if errors.Is(err, store.ErrNotFound) {
		return false, nil // specifications of before there were others than the provided one
	}
	return c.TraceVendor == string(types.TracingVendorAwsxray), err
}

// trace lets a release whose specification asks for it send traces: its
// instances get a collector, and the variables by which OpenTelemetry's SDKs
// find it, but for those that the image or the user has set.
func (p *Plans) trace(tx *store.Tx, op *slipway.Operation, now time.Time, v slipway.Service, spec slipway.Spec, r *slipway.Release) error {
	wanted, err := traced(tx, spec)
	if err != nil {
		return fmt.Errorf("read the observability configuration: %w", err)
	}
	if !wanted {
		return nil
	}
	if !p.cfg.Tracing {
		return p.tell(tx, op, now, both, "Observability is enabled, but this server has no collector of traces (--otlp-endpoint): none are collected.")
	}
	r.Tracing = true
	r.Process.Env = withDefaults(r.Process.Env, traceVariables(v))
	return nil
}

// traceVariables configure OpenTelemetry's SDKs to send traces, and traces
// alone, as X-Ray has them.
func traceVariables(v slipway.Service) map[string]string {
	env := map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": collectorEndpoint,
		"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
		"OTEL_TRACES_EXPORTER":        "otlp",
		"OTEL_METRICS_EXPORTER":       "none",
		"OTEL_LOGS_EXPORTER":          "none",
		"OTEL_PROPAGATORS":            "xray",
		"OTEL_SERVICE_NAME":           v.Name,
	}
	attributes := []string{"cloud.platform=aws_app_runner", "cloud.resource_id=" + v.ARN}
	if arn, err := slipway.ParseARN(v.ARN); err == nil {
		attributes = append(attributes, "cloud.region="+arn.Region, "cloud.account.id="+arn.Account)
	}
	env["OTEL_RESOURCE_ATTRIBUTES"] = strings.Join(attributes, ",")
	return env
}

// withDefaults adds variables to an environment that has them not.
func withDefaults(env []string, defaults map[string]string) []string {
	missing := maps.Clone(defaults)
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		delete(missing, name)
	}
	env = slices.Clone(env)
	for name, value := range missing {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env
}
