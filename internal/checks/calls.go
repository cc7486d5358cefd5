package checks

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/source"
	"github.com/openslipway/slipway/internal/store"
)

// Service returns the operations for the gateway. They are Slipway's own.
func (c *Checks) Service() gateway.Service {
	return gateway.Service{
		Name:     "apprunner",
		Internal: "InternalServiceErrorException",
		Protocol: gateway.Protocol{ContentType: "application/x-amz-json-1.0", Targets: []string{"Slipway."}},
		Operations: []gateway.Operation{
			gateway.Mutate("StartCheck", c.start, c.startPermissions).Redacting("Environment", "StartCommand"),
			gateway.Read("DescribeCheck", c.describe, gateway.AnyResource),
			gateway.Mutate("StopCheck", c.end, gateway.AnyResource),
		},
	}
}

// StartCheckInput is the input of StartCheck.
type StartCheckInput struct {
	RepositoryUrl   *string           // required: of an upload of the caller's
	SourceDirectory *string           // that is built, from the upload's root
	ServiceArn      *string           // whose settings and caches of builds are used
	Port            *string           // the one that the code names when absent
	StartCommand    *string           // the code's when absent
	Environment     map[string]string // more variables of the application
}

// StartCheckOutput is its output.
type StartCheckOutput struct{ CheckId string }

// DescribeCheckInput is the input of DescribeCheck. A check that is not described for a
// minute ends.
type DescribeCheckInput struct {
	CheckId *string // required
	From    int     // number of the first line that is asked for
}

// DescribeCheckOutput is its output.
type DescribeCheckOutput struct {
	Status  string   // IN_PROGRESS, SUCCEEDED or FAILED
	Lines   []string // of the build and of the application, from From on
	Message *string  // what was found; absent while it is in progress
	Next    *string  // what to do; absent after a success
}

// StopCheckInput is the input of StopCheck.
type StopCheckInput struct{ CheckId *string } // required

// StopCheckOutput is its output.
type StopCheckOutput struct{}

// startPermissions: a check sends and builds code as an upload does. With a service, it
// fills caches from which the service is built, and its build gets the service's secrets.
func (c *Checks) startPermissions(tx *store.Tx, in *StartCheckInput) ([]gateway.Permission, error) {
	list := []gateway.Permission{{Resource: "*"}}
	arn := aws.ToString(in.ServiceArn)
	if arn == "" {
		return list, nil
	}
	list = append(list, gateway.Permission{Action: "apprunner:UpdateService", Resource: arn})
	tags, err := tx.Tags(arn)
	if err != nil {
		return nil, err
	}
	settings, err := slipway.ParseSettings("service", tags)
	if err != nil {
		return list, nil // the check says so
	}
	for _, name := range slices.Sorted(maps.Keys(settings.Build.Secrets)) {
		p, err := c.cfg.SecretNeed(tx, settings.Build.Secrets[name])
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

func (c *Checks) start(ctx context.Context, call *gateway.Call, in *StartCheckInput) (*StartCheckOutput, error) {
	r := request{owner: call.Caller.UserID, arn: aws.ToString(in.ServiceArn), env: in.Environment}
	if err := checkInput(in); err != nil {
		return nil, err
	}
	err := c.cfg.Store.View(ctx, func(tx *store.Tx) error {
		if err := owned(tx, aws.ToString(in.RepositoryUrl), call.Caller); err != nil {
			return err
		}
		var err error
		r.service, r.spec, err = serviceOf(tx, r.arn)
		return err
	})
	if err != nil {
		return nil, err
	}
	r.spec.Source = types.SourceConfiguration{CodeRepository: &types.CodeRepository{
		RepositoryUrl: in.RepositoryUrl, SourceDirectory: in.SourceDirectory,
		CodeConfiguration: &types.CodeConfiguration{ConfigurationSource: types.ConfigurationSourceRepository},
	}}
	if in.Port != nil || in.StartCommand != nil {
		r.spec.Source.CodeRepository.CodeConfiguration.CodeConfigurationValues = &types.CodeConfigurationValues{Port: in.Port, StartCommand: in.StartCommand}
	}
	r.spec.SourceSetBy = call.Caller.ID()
	r.source, _ = source.RepositoryOf(r.spec.Source)
	if err := call.Record(ctx); err != nil {
		return nil, err
	}
	id, err := c.begin(r)
	return &StartCheckOutput{CheckId: id}, err
}

func checkInput(in *StartCheckInput) error {
	if in.Port != nil {
		if n, err := strconv.ParseUint(*in.Port, 10, 16); err != nil || n == 0 {
			return slipway.Errorf(slipway.InvalidRequest, "Port %.20q is not a number from 1 to 65535.", *in.Port)
		}
	}
	for part := range strings.SplitSeq(strings.Trim(aws.ToString(in.SourceDirectory), "/"), "/") {
		if part == ".." || part == "." || strings.ContainsAny(part, "\x00\\") {
			return slipway.Errorf(slipway.InvalidRequest, "SourceDirectory %.100q is no path from the root of the upload.", *in.SourceDirectory)
		}
	}
	if strings.Contains(aws.ToString(in.StartCommand), "\x00") {
		return slipway.Errorf(slipway.InvalidRequest, "StartCommand has a NUL, which no command can have.")
	}
	for name, value := range in.Environment {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(value, "\x00") {
			return slipway.Errorf(slipway.InvalidRequest, "Environment: %.100q can't be set.", name)
		}
	}
	return nil
}

// owned refuses uploads that are not the caller's, as package api does.
func owned(tx *store.Tx, url string, c gateway.Caller) error {
	id, err := slipway.ParseUploadURL(url)
	if err != nil {
		return err
	}
	up, err := tx.Upload(id)
	if errors.Is(err, store.ErrNotFound) || err == nil && up.Owner != c.UserID && c.User != gateway.Root {
		return slipway.Errorf(slipway.InvalidRequest, "You have no upload %s.", id)
	}
	return err
}

// serviceOf returns the id of a service and the specification that a check begins with:
// that of a new service if arn is "".
func serviceOf(tx *store.Tx, arn string) (id string, spec slipway.Spec, err error) {
	spec.Instance = types.InstanceConfiguration{
		Cpu: aws.String(strconv.Itoa(slipway.DefaultCPU)), Memory: aws.String(strconv.Itoa(slipway.DefaultMemory)),
	}
	if arn == "" {
		return "", spec, nil
	}
	parsed, err := slipway.ParseARN(arn)
	if err != nil {
		return "", spec, err
	}
	v, err := tx.ServiceByName(parsed.Name())
	if errors.Is(err, store.ErrNotFound) || err == nil && v.ARN != arn {
		return "", spec, slipway.Errorf(slipway.NotFound, "Service not found: %s", arn)
	}
	if err != nil {
		return "", spec, err
	}
	spec.Instance = v.Spec.Instance
	return v.ID, spec, nil
}

// of returns a check of the caller's. Another user's does not exist for him.
func (c *Checks) of(call *gateway.Call, id *string) (*check, error) {
	k := c.known[aws.ToString(id)]
	if k == nil || k.owner != call.Caller.UserID {
		return nil, slipway.Errorf(slipway.NotFound, "There is no check %.50q. Checks end with the server, and some minutes after their end they are forgotten.", aws.ToString(id))
	}
	return k, nil
}

func (c *Checks) describe(_ context.Context, call *gateway.Call, in *DescribeCheckInput) (*DescribeCheckOutput, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, err := c.of(call, in.CheckId)
	if err != nil {
		return nil, err
	}
	k.seen = c.cfg.Now()
	out := &DescribeCheckOutput{Status: "IN_PROGRESS", Lines: []string{}}
	if from := max(in.From, 0); from < len(k.lines) {
		out.Lines = append(out.Lines, k.lines[from:]...)
	}
	if k.ended.IsZero() {
		return out, nil
	}
	out.Status, out.Message = "FAILED", &k.outcome.Message
	if k.outcome.Passed {
		out.Status = "SUCCEEDED"
	} else {
		out.Next = &k.outcome.Next
	}
	return out, nil
}

// errStopped ends a check.
var errStopped = errors.New("the check was ended by its caller")

func (c *Checks) end(_ context.Context, call *gateway.Call, in *StopCheckInput) (*StopCheckOutput, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, err := c.of(call, in.CheckId)
	if err != nil {
		return nil, err
	}
	k.cancel(errStopped)
	return &StopCheckOutput{}, nil
}
