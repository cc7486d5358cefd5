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

// collectorEndpoint is the trace collector of App Runner's instances; it takes
// OTLP over gRPC (docs.aws.amazon.com/apprunner/latest/dg/monitor-xray.html).
const collectorEndpoint = "http://localhost:4317"

// wantsTracing reports whether a specification enables tracing.
func wantsTracing(tx *store.Tx, spec slipway.Spec) (bool, error) {
	o := spec.Observability
	if o == nil || !o.ObservabilityEnabled {
		return false, nil
	}
	c, err := tx.Observability(aws.ToString(o.ObservabilityConfigurationArn))
	if errors.Is(err, store.ErrNotFound) {
		return false, nil // stored before other configurations than the default one existed
	}
	return c.TraceVendor == string(types.TracingVendorAwsxray), err
}

// addTracing gives the instances of a release whose specification enables tracing
// a collector and the variables by which OpenTelemetry's SDKs find it. Variables
// of the image and the user win.
func (p *Plans) addTracing(tx *store.Tx, op *slipway.Operation, now time.Time, v slipway.Service, spec slipway.Spec, r *slipway.Release) error {
	wanted, err := wantsTracing(tx, spec)
	if err != nil {
		return fmt.Errorf("read the observability configuration: %w", err)
	}
	if !wanted {
		return nil
	}
	if !p.cfg.Tracing {
		return p.logEvent(tx, op, now, bothStreams, "Observability is enabled, but this server has no collector of traces (--otlp-endpoint): none are collected.")
	}
	r.Tracing = true
	r.Process.Env = addMissing(r.Process.Env, traceVariables(v))
	return nil
}

// traceVariables configures OpenTelemetry's SDKs to send traces, in X-Ray's
// format, and neither metrics nor logs.
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

// addMissing adds the variables of defaults that env does not set.
func addMissing(env []string, defaults map[string]string) []string {
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
