package harness

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/sdkhttp"
)

// Reply is the body of the test app's answers.
type Reply struct {
	Greeting, Version, Token, Instance, Boot string
	PID                                      int
	Serving                                  int64
	Host                                     string
	Headers                                  http.Header
}

// Client returns the Go SDK's App Runner client for the server.
func (s *Server) Client() *apprunner.Client { return apprunner.NewFromConfig(s.SDK()) }

// SDK returns the configuration of the Go SDK's clients for the server.
func (s *Server) SDK() aws.Config {
	s.T.Helper()
	cfg, err := config.LoadDefaultConfig(context.Background(),
		config.WithSharedCredentialsFiles([]string{s.Credentials}),
		config.WithSharedConfigFiles([]string{}),
		config.WithRegion("us-east-1"),
		config.WithBaseEndpoint(s.API),
		config.WithHTTPClient(&http.Client{Timeout: Timeout, Transport: sdkhttp.Transport(s.HTTPClient.Transport)}),
	)
	if err != nil {
		s.T.Fatal(err)
	}
	return cfg
}

// Spec is the part of a service's configuration that tests set. The rest is the
// API's default.
type Spec struct {
	Image   string // see ECRImage
	Env     map[string]string
	Secrets map[string]string // references
	Port    string
	Start   string
	Scaling string // ARN of an auto scaling configuration
	Health  *types.HealthCheckConfiguration
	memory  string
	Network *types.NetworkConfiguration
}

func (p Spec) Source() *types.SourceConfiguration {
	return &types.SourceConfiguration{
		AutoDeploymentsEnabled: aws.Bool(false),
		ImageRepository: &types.ImageRepository{
			ImageIdentifier:     aws.String(p.Image),
			ImageRepositoryType: types.ImageRepositoryTypeEcr,
			ImageConfiguration: &types.ImageConfiguration{
				Port:                        aws.String(cmp.Or(p.Port, "8080")),
				RuntimeEnvironmentVariables: p.Env,
				RuntimeEnvironmentSecrets:   p.Secrets,
				StartCommand:                optional(p.Start),
			},
		},
	}
}

func (p Spec) instance() *types.InstanceConfiguration {
	in := &types.InstanceConfiguration{Cpu: aws.String("256"), Memory: aws.String(cmp.Or(p.memory, "512"))}
	if len(p.Secrets) > 0 { // secrets require a role
		in.InstanceRoleArn = aws.String("arn:aws:iam::000000000000:role/web")
	}
	return in
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// QuickHealthCheck returns the fastest health check that the API allows.
func QuickHealthCheck() *types.HealthCheckConfiguration {
	return &types.HealthCheckConfiguration{
		Protocol: types.HealthCheckProtocolHttp, Path: aws.String("/healthz"),
		Interval: aws.Int32(1), Timeout: aws.Int32(1), HealthyThreshold: aws.Int32(1), UnhealthyThreshold: aws.Int32(2),
	}
}

// Create calls CreateService and returns the service and the operation's id.
func (s *Server) Create(name string, p Spec) (*types.Service, string) {
	s.T.Helper()
	out, err := s.Client().CreateService(s.T.Context(), &apprunner.CreateServiceInput{
		ServiceName:                 aws.String(name),
		SourceConfiguration:         p.Source(),
		AutoScalingConfigurationArn: optional(p.Scaling),
		HealthCheckConfiguration:    p.Health,
		NetworkConfiguration:        p.Network,
		InstanceConfiguration:       p.instance(),
	})
	if err != nil {
		s.T.Fatalf("CreateService %s: %v", name, err)
	}
	if out.Service.Status != types.ServiceStatusOperationInProgress {
		s.T.Errorf("CreateService shows status %s", out.Service.Status)
	}
	return out.Service, aws.ToString(out.OperationId)
}

// RunningService creates a service and waits until it runs.
func (s *Server) RunningService(name string, p Spec) *types.Service {
	s.T.Helper()
	svc, op := s.Create(name, p)
	s.WaitSucceeded(svc, op)
	return svc
}

// Set sets settings of a service: their names, without slipway:, and values.
func (s *Server) Set(svc *types.Service, settings ...string) {
	s.T.Helper()
	if err := s.TrySet(svc, settings...); err != nil {
		s.T.Fatal(err)
	}
}

// TrySet is Set that may be refused.
func (s *Server) TrySet(svc *types.Service, settings ...string) error {
	var tags []types.Tag
	for i := 0; i+1 < len(settings); i += 2 {
		tags = append(tags, types.Tag{Key: aws.String("slipway:" + settings[i]), Value: &settings[i+1]})
	}
	_, err := s.Client().TagResource(s.T.Context(), &apprunner.TagResourceInput{ResourceArn: svc.ServiceArn, Tags: tags})
	return err
}

// Unset removes settings of a service.
func (s *Server) Unset(svc *types.Service, names ...string) {
	s.T.Helper()
	keys := make([]string, len(names))
	for i, n := range names {
		keys[i] = "slipway:" + n
	}
	if _, err := s.Client().UntagResource(s.T.Context(), &apprunner.UntagResourceInput{ResourceArn: svc.ServiceArn, TagKeys: keys}); err != nil {
		s.T.Fatal(err)
	}
}

// Operation returns one operation of a service from ListOperations.
func (s *Server) Operation(arn, id string) (types.OperationSummary, error) {
	out, err := s.Client().ListOperations(context.Background(), &apprunner.ListOperationsInput{ServiceArn: &arn})
	if err != nil {
		return types.OperationSummary{}, err
	}
	for _, o := range out.OperationSummaryList {
		if aws.ToString(o.Id) == id {
			return o, nil
		}
	}
	return types.OperationSummary{}, fmt.Errorf("ListOperations does not know %q", id)
}

// WaitOperation waits until an operation has ended and returns its last status.
func (s *Server) WaitOperation(svc *types.Service, id string) types.OperationStatus {
	s.T.Helper()
	var last types.OperationSummary
	Eventually(s.T, "operation "+id+" ends", func() (bool, string) {
		o, err := s.Operation(*svc.ServiceArn, id)
		if err != nil {
			return false, err.Error()
		}
		last = o
		return o.EndedAt != nil, fmt.Sprintf("%s %s", o.Type, o.Status)
	})
	return last.Status
}

// WaitSucceeded waits until an operation has ended, and fails the test unless it
// succeeded.
func (s *Server) WaitSucceeded(svc *types.Service, id string) {
	s.T.Helper()
	if got := s.WaitOperation(svc, id); got != types.OperationStatusSucceeded {
		s.T.Fatalf("operation %s of %s ended %s\n%s", id, *svc.ServiceName, got, s.Events(svc))
	}
}

// Pause pauses a service, waits until that has succeeded, and returns the operation's id.
func (s *Server) Pause(svc *types.Service) (operation string) {
	s.T.Helper()
	operation = s.BeginPause(svc)
	s.WaitSucceeded(svc, operation)
	return operation
}

// BeginPause begins to pause a service and returns the operation's id.
func (s *Server) BeginPause(svc *types.Service) (operation string) {
	s.T.Helper()
	out, err := s.Client().PauseService(s.T.Context(), &apprunner.PauseServiceInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		s.T.Fatal(err)
	}
	return *out.OperationId
}

// Resume resumes a service, waits until that has succeeded, and returns the operation's
// id.
func (s *Server) Resume(svc *types.Service) (operation string) {
	s.T.Helper()
	operation = s.BeginResume(svc)
	s.WaitSucceeded(svc, operation)
	return operation
}

// BeginResume begins to resume a service and returns the operation's id.
func (s *Server) BeginResume(svc *types.Service) (operation string) {
	s.T.Helper()
	out, err := s.Client().ResumeService(s.T.Context(), &apprunner.ResumeServiceInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		s.T.Fatal(err)
	}
	return *out.OperationId
}

// Events returns the lines of a service's deployment log.
func (s *Server) Events(svc *types.Service) string {
	out, err := s.RunSlipway("logs", *svc.ServiceArn, "--events", "--raw")
	if err != nil {
		return fmt.Sprintf("slipway logs: %v: %s", err, out)
	}
	return out
}

// Status returns a service's status.
func (s *Server) Status(svc *types.Service) types.ServiceStatus {
	s.T.Helper()
	out, err := s.Client().DescribeService(s.T.Context(), &apprunner.DescribeServiceInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		s.T.Fatalf("DescribeService: %v", err)
	}
	return out.Service.Status
}

// CreateAutoScaling creates an auto scaling configuration and returns its ARN.
func (s *Server) CreateAutoScaling(name string, concurrency, least, most int32) string {
	s.T.Helper()
	out, err := s.Client().CreateAutoScalingConfiguration(s.T.Context(), &apprunner.CreateAutoScalingConfigurationInput{
		AutoScalingConfigurationName: aws.String(name), MaxConcurrency: &concurrency, MinSize: &least, MaxSize: &most,
	})
	if err != nil {
		s.T.Fatalf("CreateAutoScalingConfiguration: %v", err)
	}
	return *out.AutoScalingConfiguration.AutoScalingConfigurationArn
}

// Request sends a GET to a service by its host name and returns the answer.
func (s *Server) Request(svc *types.Service, path string, header ...string) (int, string, error) {
	return s.get(s.HostPort(), *svc.ServiceUrl, path, header...)
}

// get sends a GET for a host to an address and returns the answer.
func (s *Server) get(addr, host, path string, header ...string) (int, string, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return 0, "", err
	}
	req.Host = host
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	r, err := s.HTTPClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return r.StatusCode, string(b), err
}

// Ask sends a GET and returns the app's reply. Any status but 200 is an error.
func (s *Server) Ask(svc *types.Service, path string) (Reply, error) {
	code, body, err := s.Request(svc, path)
	if err != nil {
		return Reply{}, err
	}
	if code != http.StatusOK {
		return Reply{}, fmt.Errorf("status %d: %.200s", code, body)
	}
	var out Reply
	if err := json.Unmarshal([]byte(body), &out); err != nil {
		return Reply{}, fmt.Errorf("body %.200q: %w", body, err)
	}
	return out, nil
}

// AskMany sends n requests, each of which must be answered 200 with the greeting.
// It returns how often each instance answered.
func (s *Server) AskMany(svc *types.Service, n int, greeting string) map[string]int {
	s.T.Helper()
	by := map[string]int{}
	for range n {
		r, err := s.Ask(svc, "/")
		if err != nil {
			s.T.Fatalf("%s: %v", *svc.ServiceName, err)
		}
		if r.Greeting != greeting {
			s.T.Fatalf("%s greets with %q, want %q", *svc.ServiceName, r.Greeting, greeting)
		}
		by[r.Instance]++
	}
	return by
}

// AskAll sends requests until n instances have answered. It returns how often each
// did.
func (s *Server) AskAll(svc *types.Service, n int, greeting string) map[string]int {
	s.T.Helper()
	by := map[string]int{}
	Eventually(s.T, fmt.Sprintf("%d instances of %s answer", n, *svc.ServiceName), func() (bool, string) {
		for id, count := range s.AskMany(svc, n, greeting) {
			by[id] += count
		}
		return len(by) >= n, fmt.Sprint(by)
	})
	return by
}

// BootIDs returns the boot ids of a service's n instances, sorted.
func (s *Server) BootIDs(svc *types.Service, n int) []string {
	s.T.Helper()
	seen := map[string]bool{}
	var ids []string
	Eventually(s.T, fmt.Sprintf("%d instances of %s answer", n, *svc.ServiceName), func() (bool, string) {
		r, err := s.Ask(svc, "/")
		if err != nil {
			s.T.Fatalf("%s: %v", *svc.ServiceName, err)
		}
		if !seen[r.Boot] {
			seen[r.Boot] = true
			ids = append(ids, r.Boot)
		}
		return len(ids) >= n, fmt.Sprint(ids)
	})
	slices.Sort(ids)
	return ids
}

// DeleteAll deletes every service and waits until it is gone.
func (s *Server) DeleteAll() {
	s.T.Helper()
	ctx, client := context.Background(), s.Client() // the test's context has ended here
	Eventually(s.T, "all services are deleted", func() (bool, string) {
		out, err := client.ListServices(ctx, &apprunner.ListServicesInput{})
		if err != nil {
			return false, err.Error()
		}
		var left []string
		for _, svc := range out.ServiceSummaryList {
			left = append(left, fmt.Sprintf("%s %s", *svc.ServiceName, svc.Status))
			if svc.Status == types.ServiceStatusOperationInProgress {
				continue
			}
			if _, err := client.DeleteService(ctx, &apprunner.DeleteServiceInput{ServiceArn: svc.ServiceArn}); err != nil {
				return false, err.Error()
			}
		}
		return len(left) == 0, strings.Join(left, ", ")
	})
}

// ECRImage returns the image identifier of a repository of the server's registry.
func ECRImage(repository string) string {
	return "000000000000.dkr.ecr.us-east-1.amazonaws.com/" + repository
}
