package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/sigv4"
	"github.com/openslipway/slipway/internal/wire"
)

// epoch is the time of the fake server; the client's clock is two hours ahead.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	fakeKey    = "AKIAEXAMPLE"
	fakeSecret = "secret"
	fakeRegion = "us-east-1"
	fakePrefix = "arn:aws:apprunner:us-east-1:000000000000:"
)

// fakeServer answers the calls of the client verbs, with ids that count and a fixed
// clock, so that the verbs' output is always the same. An operation advances by one
// status with each ListOperations.
type fakeServer struct {
	*httptest.Server

	mu          sync.Mutex
	domains     map[string][]*fakeDomain // by service ARN
	services    []*types.Service
	operations  map[string][]*fakeOperation // by service ARN, oldest first
	scalings    []types.AutoScalingConfiguration
	tags        []types.Tag
	hooks       fakeHooks
	connections []types.Connection
	hasWebhook  bool                 // of the connection "code"
	looks       map[string]int64     // calls for the traffic of services, by their ARNs
	output      []fakeLine           // of instances
	access      []fakeLine           // of requests
	stored      []client.StoredImage // images as ECR describes them
	secrets     []string             // names of secrets, and of parameters with a / before
	events      []fakeLine           // of services, beside those of operations
	ids         int
	contents    []string // digests of what was uploaded
	check       fakeCheck
	calls       []string // operations and their input, for those that change something

	// stale is how many replies of DescribeService still show an operation that
	// has just ended.
	stale int
	// stuck keeps operations from ending.
	stuck bool
	// ending is the final status of the next operations, SUCCEEDED if empty.
	ending types.OperationStatus
	denied string // what is in the ARNs of services whose instances the user may not see
	older  bool   // it does not know the calls about cancelled operations and instances
	// cause is why the next operations fail.
	cause string
	// instances of services, by ARN.
	instances map[string]fakeInstances
	// lines are what the next operations write to their logs.
	lines []string
}

type fakeOperation struct {
	types.OperationSummary
	stream string
	lines  []string
	asked  int
	rest   types.ServiceStatus // of the service, after it has ended

	cancelledBy string
	cause       string
}

type fakeLine struct {
	stream, message string
	at              time.Time
}

func newFakeServer(t *testing.T) *fakeServer {
	t.Helper()
	f := &fakeServer{operations: map[string][]*fakeOperation{}, domains: map[string][]*fakeDomain{}, instances: map[string]fakeInstances{}, looks: map[string]int64{}}
	f.scalings = []types.AutoScalingConfiguration{fakeScaling("DefaultConfiguration", 100, 1, 25, "00000000000000000000000000000001")}
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"Version":"v9.9.9","Commit":"0123456789abcdef","Time":"2026-01-02T03:04:05Z","Go":"go1.30","Platform":"linux/amd64"}`)
	})
	mux.HandleFunc("/v2/", func(w http.ResponseWriter, r *http.Request) {
		if id, pass, ok := r.BasicAuth(); !ok || id != fakeKey || pass != fakeSecret {
			w.Header().Set("WWW-Authenticate", `Basic realm="slipway"`)
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		images.ServeHTTP(w, r)
	})
	mux.HandleFunc("POST /{$}", f.serveAPI)
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

func fakeScaling(name string, concurrency, least, most int32, id string) types.AutoScalingConfiguration {
	return types.AutoScalingConfiguration{
		AutoScalingConfigurationArn:      aws.String(fakePrefix + "autoscalingconfiguration/" + name + "/1/" + id),
		AutoScalingConfigurationName:     aws.String(name),
		AutoScalingConfigurationRevision: aws.Int32(1),
		MaxConcurrency:                   &concurrency,
		MinSize:                          &least,
		MaxSize:                          &most,
		Status:                           "active",
	}
}

func (f *fakeServer) id() string {
	f.ids++
	return fmt.Sprintf("%032x", f.ids)
}

func (f *fakeServer) serveAPI(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	service, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	scope := map[string]string{"AppRunner": "apprunner", "Slipway": "apprunner", "Logs_20140328": "logs", "AmazonEC2ContainerRegistry_V20150921": "ecr", "secretsmanager": "secretsmanager", "AmazonSSM": "ssm"}[service]
	v := sigv4.Verifier{MaxBody: 1 << 20, Now: time.Now}
	body, err := v.Verify(r, sigv4.Scope{Service: scope, Regions: []string{fakeRegion}}, func(_ context.Context, id string) (sigv4.Key, bool, error) {
		return sigv4.Key{Secret: fakeSecret}, id == fakeKey, nil
	})
	if e, ok := err.(*sigv4.Error); ok {
		f.fail(w, string(e.Code), e.Message)
		return
	}
	if scope == "ecr" {
		f.serveECR(w, operation, body)
		return
	}
	if scope == "secretsmanager" || scope == "ssm" {
		f.serveSecrets(w, operation, body)
		return
	}
	if scope == "logs" {
		f.serveLogs(w, operation, body)
		return
	}
	out, err := f.call(operation, body)
	if e, ok := err.(*wire.Exception); ok {
		f.fail(w, e.Name, e.Message)
		return
	}
	reply, merr := wire.Marshal(out)
	if err != nil || merr != nil {
		f.fail(w, "InternalServiceErrorException", fmt.Sprint(err, merr))
		return
	}
	w.Write(reply)
}

func (f *fakeServer) fail(w http.ResponseWriter, code, message string) {
	e := wire.NewException(code, message)
	w.WriteHeader(e.Status)
	w.Write(e.Body())
}

func decode[T any](body []byte) (*T, error) {
	var in T
	return &in, wire.Unmarshal(body, &in)
}

// call answers one call of App Runner's API.
func (f *fakeServer) call(operation string, body []byte) (any, error) {
	if strings.Contains(operation, "Upload") {
		return f.callUpload(operation, body)
	}
	if operation == "DescribeInstances" {
		return f.describeInstances(body)
	}
	if operation == "ListRuntimes" || operation == "PruneBuilds" {
		return f.callBuilds(operation, body)
	}
	if strings.Contains(operation, "Check") {
		return f.callCheck(operation, body)
	}
	if !strings.HasPrefix(operation, "List") && !strings.HasPrefix(operation, "Describe") {
		f.calls = append(f.calls, operation+" "+canonical(body))
	}
	switch operation {
	case "ListServices":
		return f.listServices(), nil
	case "CreateService":
		return f.createService(body)
	case "ListAutoScalingConfigurations":
		return f.listScalings(body)
	case "CreateAutoScalingConfiguration":
		return f.createScaling(body)
	case "DescribeAutoScalingConfiguration":
		return f.describeScaling(body)
	case "CreateConnection", "ListConnections", "CompleteConnection", "DeleteConnection",
		"PutConnectionWebhook", "DescribeConnectionWebhook", "DeleteConnectionWebhook", "CreateCodeConnection", "DescribeCodeConnection":
		return f.callConnection(operation, body)
	case "CreateWebhook", "ListWebhooks", "DescribeWebhook", "ListWebhookDeliveries", "TestWebhook", "DeleteWebhook":
		return f.callWebhook(operation, body)
	case "ListTagsForResource":
		return &apprunner.ListTagsForResourceOutput{Tags: f.tags}, nil
	}
	in, err := decode[apprunner.DescribeServiceInput](body)
	if err != nil {
		return nil, err
	}
	arn := aws.ToString(in.ServiceArn)
	i := slices.IndexFunc(f.services, func(s *types.Service) bool { return *s.ServiceArn == arn })
	if i < 0 {
		return nil, wire.NewException("ResourceNotFoundException", "Service "+arn+" does not exist.")
	}
	return f.callOn(f.services[i], operation, body)
}

// canonical returns JSON with its members in order.
func canonical(doc []byte) string {
	var v any
	if err := json.Unmarshal(doc, &v); err != nil {
		return string(doc)
	}
	out, err := json.Marshal(v)
	if err != nil {
		return string(doc)
	}
	return string(out)
}

// callOn answers a call on one service.
func (f *fakeServer) callOn(s *types.Service, operation string, body []byte) (any, error) {
	if f.older && (operation == "DescribeOperations" || operation == "CancelOperation") {
		return nil, wire.NewException("UnknownOperationException", "")
	}
	switch operation {
	case "DescribeService":
		if f.stale > 0 {
			f.stale--
			before := *s
			before.Status = types.ServiceStatusOperationInProgress
			return &apprunner.DescribeServiceOutput{Service: &before}, nil
		}
		return &apprunner.DescribeServiceOutput{Service: s}, nil
	case "ListOperations":
		return f.listOperations(s), nil
	case "DescribeOperations":
		return f.describeOperations(s, body)
	case "CancelOperation":
		return f.cancelOperation(s, body)
	case "DescribeScaling":
		return f.describeServing(s), nil
	case "DescribeSBOM":
		return map[string]string{"ImageDigest": "sha256:1", "Commit": "c0ffee", "MediaType": "application/vnd.cyclonedx+json", "Document": `{"bomFormat":"CycloneDX"}`}, nil
	case "DescribeCustomDomains":
		return f.callDomain(s, operation, body)
	}
	if s.Status == types.ServiceStatusOperationInProgress {
		return nil, wire.NewException("InvalidStateException", "Service cannot be changed in the current state: OPERATION_IN_PROGRESS.")
	}
	switch operation {
	case "AssociateCustomDomain", "DisassociateCustomDomain":
		return f.callDomain(s, operation, body)
	case "PauseService":
		if s.Status == types.ServiceStatusPaused {
			return &apprunner.PauseServiceOutput{Service: s}, nil
		}
		return &apprunner.PauseServiceOutput{OperationId: f.begin(s, types.OperationTypePauseService, "pause", types.ServiceStatusPaused), Service: s}, nil
	case "ResumeService":
		if s.Status == types.ServiceStatusRunning {
			return &apprunner.ResumeServiceOutput{Service: s}, nil
		}
		return &apprunner.ResumeServiceOutput{OperationId: f.begin(s, types.OperationTypeResumeService, "resume", types.ServiceStatusRunning), Service: s}, nil
	case "StartDeployment":
		return &apprunner.StartDeploymentOutput{OperationId: f.begin(s, types.OperationTypeStartDeployment, "deployment", types.ServiceStatusRunning)}, nil
	case "DeleteService":
		return &apprunner.DeleteServiceOutput{OperationId: f.begin(s, types.OperationTypeDeleteService, "delete", types.ServiceStatusDeleted), Service: s}, nil
	case "UpdateService":
		return f.updateService(s, body)
	}
	return nil, wire.NewException("UnknownOperationException", "")
}

func (f *fakeServer) begin(s *types.Service, kind types.OperationType, stream string, rest types.ServiceStatus) *string {
	op := &fakeOperation{lines: f.lines, rest: rest, cause: f.cause}
	if op.lines == nil {
		op.lines = []string{"Working.", "Done."}
	}
	op.Id, op.Type, op.Status, op.StartedAt = aws.String(f.id()), kind, types.OperationStatusPending, aws.Time(epoch)
	op.stream = stream + "/" + *op.Id
	s.Status = types.ServiceStatusOperationInProgress
	f.operations[*s.ServiceArn] = append(f.operations[*s.ServiceArn], op)
	return op.Id
}

// step advances an operation by one status.
func (f *fakeServer) step(s *types.Service, op *fakeOperation) {
	op.asked++
	switch {
	case op.EndedAt != nil:
	case op.asked == 2:
		op.Status = types.OperationStatusInProgress
	case op.asked >= 3 && !f.stuck:
		op.Status, op.EndedAt = types.OperationStatusSucceeded, aws.Time(epoch.Add(1250*time.Millisecond))
		s.Status = op.rest
		if f.ending != "" {
			op.Status = f.ending
			s.Status = types.ServiceStatusRunning
			if op.Type == types.OperationTypeCreateService {
				s.Status = types.ServiceStatusCreateFailed
			}
		}
	}
}

func (f *fakeServer) listServices() *apprunner.ListServicesOutput {
	out := &apprunner.ListServicesOutput{ServiceSummaryList: []types.ServiceSummary{}}
	for _, s := range f.services {
		if s.Status == types.ServiceStatusDeleted {
			continue
		}
		out.ServiceSummaryList = append(out.ServiceSummaryList, types.ServiceSummary{
			ServiceName: s.ServiceName, ServiceArn: s.ServiceArn, ServiceId: s.ServiceId, ServiceUrl: s.ServiceUrl,
			Status: s.Status, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
		})
	}
	return out
}

func (f *fakeServer) listOperations(s *types.Service) *apprunner.ListOperationsOutput {
	out := &apprunner.ListOperationsOutput{OperationSummaryList: []types.OperationSummary{}}
	for _, op := range slices.Backward(f.operations[*s.ServiceArn]) {
		f.step(s, op)
		out.OperationSummaryList = append(out.OperationSummaryList, op.OperationSummary)
	}
	return out
}

func (f *fakeServer) createService(body []byte) (any, error) {
	in, err := decode[apprunner.CreateServiceInput](body)
	if err != nil {
		return nil, err
	}
	s := f.add(*in.ServiceName, types.ServiceStatusRunning)
	s.SourceConfiguration = in.SourceConfiguration
	if in.AutoScalingConfigurationArn != nil {
		s.AutoScalingConfigurationSummary.AutoScalingConfigurationArn = in.AutoScalingConfigurationArn
	}
	id := f.begin(s, types.OperationTypeCreateService, "deployment", types.ServiceStatusRunning)
	return &apprunner.CreateServiceOutput{Service: s, OperationId: id}, nil
}

func (f *fakeServer) updateService(s *types.Service, body []byte) (any, error) {
	in, err := decode[apprunner.UpdateServiceInput](body)
	if err != nil {
		return nil, err
	}
	if s.Status == types.ServiceStatusPaused {
		return nil, wire.NewException("InvalidStateException", "Service cannot be updated in the current state: PAUSED.")
	}
	if in.SourceConfiguration != nil {
		s.SourceConfiguration = in.SourceConfiguration
	}
	id := f.begin(s, types.OperationTypeUpdateService, "deployment", types.ServiceStatusRunning)
	return &apprunner.UpdateServiceOutput{Service: s, OperationId: id}, nil
}

// add creates a service in App Runner's form.
func (f *fakeServer) add(name string, status types.ServiceStatus) *types.Service {
	id := f.id()
	s := &types.Service{
		ServiceName: aws.String(name),
		ServiceId:   aws.String(id),
		ServiceArn:  aws.String(fakePrefix + "service/" + name + "/" + id),
		ServiceUrl:  aws.String(fmt.Sprintf("url%07d.us-east-1.slipway.localhost:8080", f.ids)),
		Status:      status,
		CreatedAt:   aws.Time(epoch),
		UpdatedAt:   aws.Time(epoch.Add(time.Hour)),
		SourceConfiguration: &types.SourceConfiguration{
			AutoDeploymentsEnabled: aws.Bool(false),
			ImageRepository: &types.ImageRepository{
				ImageIdentifier:     aws.String("000000000000.dkr.ecr.us-east-1.amazonaws.com/" + name + ":1.0"),
				ImageRepositoryType: types.ImageRepositoryTypeEcr,
				ImageConfiguration: &types.ImageConfiguration{
					Port:                        aws.String("8080"),
					RuntimeEnvironmentVariables: map[string]string{"GREETING": "hello", "TOKEN": "t0psecret"},
				},
			},
		},
		InstanceConfiguration: &types.InstanceConfiguration{Cpu: aws.String("1024"), Memory: aws.String("2048")},
		HealthCheckConfiguration: &types.HealthCheckConfiguration{
			Protocol: types.HealthCheckProtocolTcp, Path: aws.String("/"), Interval: aws.Int32(5), Timeout: aws.Int32(2),
			HealthyThreshold: aws.Int32(1), UnhealthyThreshold: aws.Int32(5),
		},
		AutoScalingConfigurationSummary: &types.AutoScalingConfigurationSummary{
			AutoScalingConfigurationArn:      f.scalings[0].AutoScalingConfigurationArn,
			AutoScalingConfigurationName:     f.scalings[0].AutoScalingConfigurationName,
			AutoScalingConfigurationRevision: 1,
		},
		NetworkConfiguration: &types.NetworkConfiguration{
			EgressConfiguration:  &types.EgressConfiguration{EgressType: types.EgressTypeDefault},
			IngressConfiguration: &types.IngressConfiguration{IsPubliclyAccessible: true},
			IpAddressType:        types.IpAddressTypeIpv4,
		},
	}
	f.services = append(f.services, s)
	return s
}

func (f *fakeServer) listScalings(body []byte) (any, error) {
	in, err := decode[apprunner.ListAutoScalingConfigurationsInput](body)
	if err != nil {
		return nil, err
	}
	out := &apprunner.ListAutoScalingConfigurationsOutput{AutoScalingConfigurationSummaryList: []types.AutoScalingConfigurationSummary{}}
	for _, s := range f.scalings {
		if in.AutoScalingConfigurationName == nil || *in.AutoScalingConfigurationName == *s.AutoScalingConfigurationName {
			out.AutoScalingConfigurationSummaryList = append(out.AutoScalingConfigurationSummaryList, types.AutoScalingConfigurationSummary{
				AutoScalingConfigurationArn: s.AutoScalingConfigurationArn, AutoScalingConfigurationName: s.AutoScalingConfigurationName,
				AutoScalingConfigurationRevision: 1, Status: s.Status,
			})
		}
	}
	return out, nil
}

func (f *fakeServer) createScaling(body []byte) (any, error) {
	in, err := decode[apprunner.CreateAutoScalingConfigurationInput](body)
	if err != nil {
		return nil, err
	}
	s := fakeScaling(*in.AutoScalingConfigurationName, *in.MaxConcurrency, *in.MinSize, *in.MaxSize, f.id())
	f.scalings = append(f.scalings, s)
	return &apprunner.CreateAutoScalingConfigurationOutput{AutoScalingConfiguration: &s}, nil
}

func (f *fakeServer) describeScaling(body []byte) (any, error) {
	in, err := decode[apprunner.DescribeAutoScalingConfigurationInput](body)
	if err != nil {
		return nil, err
	}
	for _, s := range f.scalings {
		if *s.AutoScalingConfigurationArn == aws.ToString(in.AutoScalingConfigurationArn) {
			return &apprunner.DescribeAutoScalingConfigurationOutput{AutoScalingConfiguration: &s}, nil
		}
	}
	return nil, wire.NewException("ResourceNotFoundException", "No such configuration.")
}

// streamsOf returns the lines of a log group by stream.
func (f *fakeServer) streamsOf(group string) map[string][]fakeLine {
	streams := map[string][]fakeLine{}
	for _, s := range f.services {
		prefix := "/aws/apprunner/" + *s.ServiceName + "/" + *s.ServiceId + "/"
		if group == prefix+"application" {
			for _, l := range f.output {
				streams[l.stream] = append(streams[l.stream], l)
			}
		}
		if group == prefix+"access" && len(f.access) > 0 {
			streams["access"] = f.access
		}
		if group != prefix+"service" {
			continue
		}
		streams["events"] = append(streams["events"], f.events...)
		for _, op := range f.operations[*s.ServiceArn] {
			streams["events"] = append(streams["events"], fakeLine{"events", "[AppRunner] " + string(op.Type) + " started.", epoch})
			for i, text := range op.lines {
				if i < op.asked || op.EndedAt != nil {
					streams[op.stream] = append(streams[op.stream], fakeLine{op.stream, "[AppRunner] " + text, epoch.Add(time.Duration(i) * 400 * time.Millisecond)})
				}
			}
		}
	}
	return streams
}

func (f *fakeServer) serveLogs(w http.ResponseWriter, operation string, body []byte) {
	var in struct {
		Group   string   `json:"logGroupName"`
		Stream  string   `json:"logStreamName"`
		Streams []string `json:"logStreamNames"`
		Start   int64    `json:"startTime"`
		Limit   int      `json:"limit"`
		Token   string   `json:"nextToken"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		f.fail(w, "SerializationException", err.Error())
		return
	}
	type record map[string]any
	out := record{}
	streams := f.streamsOf(in.Group)
	switch operation {
	case "DescribeLogStreams":
		list := []record{}
		for name, lines := range streams {
			if len(lines) == 0 {
				continue
			}
			list = append(list, record{"logStreamName": name, "creationTime": lines[0].at.UnixMilli(), "lastEventTimestamp": lines[len(lines)-1].at.UnixMilli()})
		}
		out["logStreams"] = list
	case "GetLogEvents":
		events := []record{}
		from := len(in.Token) // a token's length is the number of lines before it
		lines := streams[in.Stream]
		for _, l := range lines[min(from, len(lines)):] {
			events = append(events, record{"timestamp": l.at.UnixMilli(), "message": l.message})
		}
		if in.Limit > 0 {
			events = events[max(0, len(events)-in.Limit):]
		}
		out["events"], out["nextForwardToken"] = events, strings.Repeat("x", len(lines))
	case "FilterLogEvents":
		events := []record{}
		for name, lines := range streams {
			if len(in.Streams) > 0 && !slices.Contains(in.Streams, name) {
				continue
			}
			for _, l := range lines {
				if l.at.UnixMilli() >= in.Start {
					events = append(events, record{"timestamp": l.at.UnixMilli(), "message": l.message, "logStreamName": name})
				}
			}
		}
		slices.SortFunc(events, func(a, b record) int { return int(a["timestamp"].(int64) - b["timestamp"].(int64)) })
		out["events"] = events
	}
	json.NewEncoder(w).Encode(out)
}

// describeServing answers DescribeScaling for a service that has grown if it runs.
func (f *fakeServer) describeServing(s *types.Service) any {
	type object = map[string]any
	if s.Status != types.ServiceStatusRunning {
		return object{"ServiceArn": s.ServiceArn, "Requests": object{"Refused": "the service is paused"}}
	}
	return object{
		"ServiceArn": s.ServiceArn,
		"Size": object{
			"Wanted": 3, "Reason": "enough", "DecidedAt": epoch.Unix() + 7199, "MinSize": 1, "MaxSize": 10,
			"MaxConcurrency": 10, "Demand": 27, "PeakDemand": 12.25, "Observed": true, "CoolingDown": true,
			"LastChange": object{"From": 1, "To": 3, "Reason": "27 requests need 3 instances", "At": epoch.Unix() + 7120},
		},
		"Requests": object{
			"Waiting": 2, "MaxWaiting": 1000, "MaxConcurrency": 10, "ReplaceHungAfterSeconds": 20, "ReplacesNextAt": epoch.Unix() + 7240, "Instances": []object{
				{"Id": "0123456789abcdef", "InFlight": 10, "State": "serving", "Failures": 0, "Share": 100},
				{"Id": "123456789abcdef0", "InFlight": 0, "State": "ejected", "Failures": 4, "Share": 100, "Unanswered": 2, "UnansweredSeconds": 3},
				{"Id": "456789abcdef0123", "InFlight": 4, "State": "hung", "Failures": 9, "Share": 100, "Unanswered": 9, "UnansweredSeconds": 21},
				{"Id": "23456789abcdef01", "InFlight": 1, "State": "starting slowly", "Failures": 0, "Share": 30},
				{"Id": "3456789abcdef012", "InFlight": 0, "State": "frozen", "Failures": 0, "Share": 100},
			},
		},
	}
}
