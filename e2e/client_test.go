package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/sdkhttp"
)

// reply is what the test app answers.
type reply struct {
	Greeting, Version, Instance, Boot string
	PID                               int
	Host                              string
	Headers                           http.Header
}

// client returns the Go SDK's client for the server, as its users make one.
func (s *server) client() *apprunner.Client { return apprunner.NewFromConfig(s.sdk()) }

// sdk is the configuration of the Go SDK for the server.
func (s *server) sdk() aws.Config {
	s.t.Helper()
	cfg, err := config.LoadDefaultConfig(context.Background(),
		config.WithSharedCredentialsFiles([]string{s.Credentials}),
		config.WithSharedConfigFiles([]string{}),
		config.WithRegion("us-east-1"),
		config.WithBaseEndpoint(s.API),
		config.WithHTTPClient(&http.Client{Timeout: within, Transport: sdkhttp.Transport(s.http.Transport)}),
	)
	if err != nil {
		s.t.Fatal(err)
	}
	return cfg
}

// spec is what tests vary of a service; all else is the API's default.
type spec struct {
	image   string // as in ECR: see ecr
	env     map[string]string
	secrets map[string]string // references
	port    string
	start   string
	scaling string // ARN of an auto scaling configuration
	health  *types.HealthCheckConfiguration
	memory  string
	network *types.NetworkConfiguration
}

func (p spec) source() *types.SourceConfiguration {
	return &types.SourceConfiguration{
		AutoDeploymentsEnabled: aws.Bool(false),
		ImageRepository: &types.ImageRepository{
			ImageIdentifier:     aws.String(p.image),
			ImageRepositoryType: types.ImageRepositoryTypeEcr,
			ImageConfiguration: &types.ImageConfiguration{
				Port:                        aws.String(cmp.Or(p.port, "8080")),
				RuntimeEnvironmentVariables: p.env,
				RuntimeEnvironmentSecrets:   p.secrets,
				StartCommand:                optional(p.start),
			},
		},
	}
}

func (p spec) instance() *types.InstanceConfiguration {
	in := &types.InstanceConfiguration{Cpu: aws.String("256"), Memory: aws.String(cmp.Or(p.memory, "512"))}
	if len(p.secrets) > 0 { // which a service needs a role for
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

// quick is a health check that decides as fast as the API's ranges allow.
func quick() *types.HealthCheckConfiguration {
	return &types.HealthCheckConfiguration{
		Protocol: types.HealthCheckProtocolHttp, Path: aws.String("/healthz"),
		Interval: aws.Int32(1), Timeout: aws.Int32(1), HealthyThreshold: aws.Int32(1), UnhealthyThreshold: aws.Int32(2),
	}
}

// create starts the creation of a service and returns it and the operation.
func (s *server) create(name string, p spec) (*types.Service, string) {
	s.t.Helper()
	out, err := s.client().CreateService(s.t.Context(), &apprunner.CreateServiceInput{
		ServiceName:                 aws.String(name),
		SourceConfiguration:         p.source(),
		AutoScalingConfigurationArn: optional(p.scaling),
		HealthCheckConfiguration:    p.health,
		NetworkConfiguration:        p.network,
		InstanceConfiguration:       p.instance(),
	})
	if err != nil {
		s.t.Fatalf("CreateService %s: %v", name, err)
	}
	if out.Service.Status != types.ServiceStatusOperationInProgress {
		s.t.Errorf("CreateService shows status %s", out.Service.Status)
	}
	return out.Service, aws.ToString(out.OperationId)
}

// runningService creates a service and waits until it runs.
func (s *server) runningService(name string, p spec) *types.Service {
	s.t.Helper()
	svc, op := s.create(name, p)
	s.succeeds(svc, op)
	return svc
}

// operation returns one operation of a service as ListOperations tells it.
func (s *server) operation(arn, id string) (types.OperationSummary, error) {
	out, err := s.client().ListOperations(context.Background(), &apprunner.ListOperationsInput{ServiceArn: &arn})
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

// ended follows an operation to its end and returns its last status.
func (s *server) ended(svc *types.Service, id string) types.OperationStatus {
	s.t.Helper()
	var last types.OperationSummary
	eventually(s.t, "operation "+id+" ends", func() (bool, string) {
		o, err := s.operation(*svc.ServiceArn, id)
		if err != nil {
			return false, err.Error()
		}
		last = o
		return o.EndedAt != nil, fmt.Sprintf("%s %s", o.Type, o.Status)
	})
	return last.Status
}

// succeeds follows an operation and fails the test unless it succeeded.
func (s *server) succeeds(svc *types.Service, id string) {
	s.t.Helper()
	if got := s.ended(svc, id); got != types.OperationStatusSucceeded {
		s.t.Fatalf("operation %s of %s ended %s\n%s", id, *svc.ServiceName, got, s.history(svc))
	}
}

// history returns a service's events: what a person looks at after a failure.
func (s *server) history(svc *types.Service) string {
	out, err := s.slipway("logs", *svc.ServiceArn, "--events", "--raw")
	if err != nil {
		return fmt.Sprintf("slipway logs: %v: %s", err, out)
	}
	return out
}

// status returns a service's status.
func (s *server) status(svc *types.Service) types.ServiceStatus {
	s.t.Helper()
	out, err := s.client().DescribeService(s.t.Context(), &apprunner.DescribeServiceInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		s.t.Fatalf("DescribeService: %v", err)
	}
	return out.Service.Status
}

// size makes an auto scaling configuration and returns its ARN.
func (s *server) size(name string, concurrency, least, most int32) string {
	s.t.Helper()
	out, err := s.client().CreateAutoScalingConfiguration(s.t.Context(), &apprunner.CreateAutoScalingConfigurationInput{
		AutoScalingConfigurationName: aws.String(name), MaxConcurrency: &concurrency, MinSize: &least, MaxSize: &most,
	})
	if err != nil {
		s.t.Fatalf("CreateAutoScalingConfiguration: %v", err)
	}
	return *out.AutoScalingConfiguration.AutoScalingConfigurationArn
}

// request sends a GET to a service by its host name and returns the answer.
func (s *server) request(svc *types.Service, path string, header ...string) (int, string, error) {
	return s.get(s.hostPort(), *svc.ServiceUrl, path, header...)
}

// get sends a GET for a host to an address and returns the answer.
func (s *server) get(addr, host, path string, header ...string) (int, string, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return 0, "", err
	}
	req.Host = host
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	r, err := s.http.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return r.StatusCode, string(b), err
}

// ask sends a GET and returns the app's reply, and an error for any answer
// that is not its 200.
func (s *server) ask(svc *types.Service, path string) (reply, error) {
	code, body, err := s.request(svc, path)
	if err != nil {
		return reply{}, err
	}
	if code != http.StatusOK {
		return reply{}, fmt.Errorf("status %d: %.200s", code, body)
	}
	var out reply
	if err := json.Unmarshal([]byte(body), &out); err != nil {
		return reply{}, fmt.Errorf("body %.200q: %w", body, err)
	}
	return out, nil
}

// replies sends n requests, expects 200 for each, and returns the instances
// that answered with how often.
func (s *server) replies(svc *types.Service, n int, greeting string) map[string]int {
	s.t.Helper()
	by := map[string]int{}
	for range n {
		r, err := s.ask(svc, "/")
		if err != nil {
			s.t.Fatalf("%s: %v", *svc.ServiceName, err)
		}
		if r.Greeting != greeting {
			s.t.Fatalf("%s greets with %q, want %q", *svc.ServiceName, r.Greeting, greeting)
		}
		by[r.Instance]++
	}
	return by
}

// spread asks until n instances have answered, and returns which.
func (s *server) spread(svc *types.Service, n int, greeting string) map[string]int {
	s.t.Helper()
	by := map[string]int{}
	eventually(s.t, fmt.Sprintf("%d instances of %s answer", n, *svc.ServiceName), func() (bool, string) {
		for id, count := range s.replies(svc, n, greeting) {
			by[id] += count
		}
		return len(by) >= n, fmt.Sprint(by)
	})
	return by
}

// deleteAll deletes every service and waits until it is gone.
func (s *server) deleteAll() {
	s.t.Helper()
	ctx, client := context.Background(), s.client() // the test's context has ended here
	eventually(s.t, "all services are deleted", func() (bool, string) {
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

// ecr returns the name by which a service asks for an image of our registry.
func ecr(repository string) string {
	return "000000000000.dkr.ecr.us-east-1.amazonaws.com/" + repository
}
