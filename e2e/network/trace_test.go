package network

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
	"github.com/openslipway/slipway/internal/image/imagetest"
)

// nested compiles a program of the module in testdata/otlp, the only one that depends on
// OpenTelemetry's SDK and gRPC. The test is skipped where they can't be downloaded.
func nested(t *testing.T, name string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "./"+name)
	cmd.Dir, cmd.Env = filepath.Join("testdata", "otlp"), append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		if strings.Contains(string(text), "dial tcp") || strings.Contains(string(text), "module lookup disabled") {
			t.Skipf("skipped: OpenTelemetry's modules can't be fetched: %s", text)
		}
		t.Fatalf("build %s: %v\n%s", name, err, text)
	}
	return out
}

// collector is a collector of traces in a process of its own.
type collector struct {
	addr string

	mu    sync.Mutex // guards spans
	spans []string
}

// newCollector starts a collector on the host's loopback.
func newCollector(t *testing.T) *collector {
	t.Helper()
	cmd := exec.Command(nested(t, "collector"), "127.0.0.1:0")
	cmd.Stderr = os.Stderr
	lines, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		cmd.Wait()
	})
	read := bufio.NewScanner(lines)
	if !read.Scan() {
		t.Fatal("the collector did not start")
	}
	c := &collector{addr: read.Text()}
	go func() {
		defer close(ended)
		for read.Scan() {
			c.mu.Lock()
			c.spans = append(c.spans, read.Text())
			c.mu.Unlock()
		}
	}()
	return c
}

// span returns the line of the span of a trace, "" when there is none.
func (c *collector) span(trace string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if strings.HasPrefix(s, trace+" ") {
			return s
		}
	}
	return ""
}

// TestTraces has a service that is instrumented with OpenTelemetry's own SDK
// export spans to a collector on the host's loopback, which no instance can
// reach but through the port on its own.
func TestTraces(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	s := harness.Serve(t, "--otlp-endpoint", "http://"+c.addr)
	client, ctx := s.Client(), t.Context()
	image := s.Push(imagetest.Run(t, nested(t, "traced"), imagetest.Options{
		Env: []string{"OTEL_LOGS_EXPORTER=console"}, Ports: []string{"8080/tcp"}, User: "1000",
	}), "shop/traced:1")

	configuration, err := client.CreateObservabilityConfiguration(ctx, &apprunner.CreateObservabilityConfigurationInput{
		ObservabilityConfigurationName: aws.String("traces"), TraceConfiguration: &types.TraceConfiguration{Vendor: types.TracingVendorAwsxray},
	})
	if err != nil {
		t.Fatal(err)
	}
	observed := &types.ServiceObservabilityConfiguration{
		ObservabilityEnabled: true, ObservabilityConfigurationArn: configuration.ObservabilityConfiguration.ObservabilityConfigurationArn,
	}
	created, err := client.CreateService(ctx, &apprunner.CreateServiceInput{
		ServiceName: aws.String("shop"), SourceConfiguration: harness.Spec{Image: image, Env: map[string]string{"OTEL_PROPAGATORS": "tracecontext"}}.Source(),
		ObservabilityConfiguration: observed,
	})
	if err != nil {
		t.Fatal(err)
	}
	svc := created.Service
	s.WaitSucceeded(svc, *created.OperationId)

	assertTraced(s, svc, c)
	for name, want := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4317",
		"OTEL_METRICS_EXPORTER":       "none",
		"OTEL_LOGS_EXPORTER":          "console",      // the image's
		"OTEL_PROPAGATORS":            "tracecontext", // the user's
		"OTEL_SERVICE_NAME":           "shop",
	} {
		if _, got, err := s.Request(svc, "/env?"+name); err != nil || got != want {
			t.Errorf("%s is %q (%v), want %q", name, got, err, want)
		}
	}

	s.Kill()
	s.Start()
	assertTraced(s, svc, c) // by the same instances, through the next daemon

	update, err := client.UpdateService(ctx, &apprunner.UpdateServiceInput{
		ServiceArn: svc.ServiceArn, ObservabilityConfiguration: &types.ServiceObservabilityConfiguration{ObservabilityEnabled: false},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.WaitSucceeded(svc, *update.OperationId)
	if status, text, err := s.Request(svc, "/untraced"); err != nil || status != http.StatusBadGateway {
		t.Errorf("without observability, exporting answers %d %s (%v)", status, text, err)
	}
}

// assertTraced makes a request and finds its span in the collector.
func assertTraced(s *harness.Server, svc *types.Service, c *collector) {
	s.T.Helper()
	var trace string
	harness.Eventually(s.T, "a request is answered and traced", func() (bool, string) {
		status, text, err := s.Request(svc, "/checkout")
		trace = strings.TrimSpace(text)
		return err == nil && status == http.StatusOK, fmt.Sprint(status, text, err)
	})
	want := fmt.Sprintf("%s /checkout shop %s", trace, *svc.ServiceArn)
	harness.Eventually(s.T, "the collector gets the span", func() (bool, string) { return c.span(trace) == want, c.span(trace) })
}
