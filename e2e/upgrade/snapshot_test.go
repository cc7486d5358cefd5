package upgrade

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	ecrsdk "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go/middleware"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/openslipway/slipway/e2e/harness"
)

// snapshot holds the answers of all reading calls, by operation and resource. Values
// are the SDK's outputs.
type snapshot map[string]any

// sameAnswers compares everything in snapshots except the metadata of calls, such as
// request ids.
var sameAnswers = cmp.Options{
	cmpopts.IgnoreTypes(middleware.Metadata{}),
	cmp.Exporter(func(reflect.Type) bool { return true }),
}

// reader reads a snapshot.
type reader struct {
	*harness.Server
	t    *testing.T
	ctx  context.Context
	skip []string // names of services that change meanwhile
	out  snapshot
}

// readAll makes all reading calls. Deleted services are given by ARN, since no list
// has them. The services named last are left out.
func readAll(s *harness.Server, t *testing.T, deleted []*string, skip ...string) snapshot {
	t.Helper()
	r := &reader{Server: s, t: t, ctx: t.Context(), skip: skip, out: snapshot{}}
	r.services(deleted)
	r.configurations()
	r.network()
	r.secrets()
	r.users()
	r.images()
	r.logs()
	r.webhooks()
	return r.out
}

// read makes a call and stores its answer under the operation's name and the
// resource.
func read[In, Out, Opt any](r *reader, call func(context.Context, *In, ...func(*Opt)) (*Out, error), about string, in *In) *Out {
	r.t.Helper()
	out, err := call(r.ctx, in)
	name := strings.TrimSuffix(reflect.TypeFor[Out]().Name(), "Output")
	if err != nil {
		r.t.Fatalf("%s %s: %v", name, about, err)
	}
	key := strings.TrimSpace(name + " " + about)
	if _, ok := r.out[key]; ok {
		r.t.Fatalf("%s was read twice", key)
	}
	r.out[key] = out
	return out
}

func (r *reader) services(deleted []*string) {
	r.t.Helper()
	c := r.Client()
	list := read(r, c.ListServices, "", &apprunner.ListServicesInput{})
	list.ServiceSummaryList = slices.DeleteFunc(list.ServiceSummaryList, func(s types.ServiceSummary) bool {
		return slices.Contains(r.skip, *s.ServiceName)
	})
	for _, s := range list.ServiceSummaryList {
		r.service(s.ServiceArn)
		r.tags(s.ServiceArn)
	}
	for _, arn := range deleted {
		r.service(arn)
	}
}

// service reads a service, which may be deleted.
func (r *reader) service(arn *string) {
	r.t.Helper()
	c := r.Client()
	read(r, c.DescribeService, *arn, &apprunner.DescribeServiceInput{ServiceArn: arn})
	read(r, c.ListOperations, *arn, &apprunner.ListOperationsInput{ServiceArn: arn})
	read(r, c.DescribeCustomDomains, *arn, &apprunner.DescribeCustomDomainsInput{ServiceArn: arn})
}

func (r *reader) tags(arn *string) {
	r.t.Helper()
	read(r, r.Client().ListTagsForResource, *arn, &apprunner.ListTagsForResourceInput{ResourceArn: arn})
}

func (r *reader) configurations() {
	r.t.Helper()
	c := r.Client()
	for _, a := range read(r, c.ListAutoScalingConfigurations, "", &apprunner.ListAutoScalingConfigurationsInput{}).AutoScalingConfigurationSummaryList {
		arn := a.AutoScalingConfigurationArn
		read(r, c.DescribeAutoScalingConfiguration, *arn, &apprunner.DescribeAutoScalingConfigurationInput{AutoScalingConfigurationArn: arn})
		users := read(r, c.ListServicesForAutoScalingConfiguration, *arn, &apprunner.ListServicesForAutoScalingConfigurationInput{AutoScalingConfigurationArn: arn})
		users.ServiceArnList = slices.DeleteFunc(users.ServiceArnList, func(arn string) bool { return slices.Contains(r.skip, strings.Split(arn, "/")[1]) })
		r.tags(arn)
	}
	for _, o := range read(r, c.ListObservabilityConfigurations, "", &apprunner.ListObservabilityConfigurationsInput{}).ObservabilityConfigurationSummaryList {
		arn := o.ObservabilityConfigurationArn
		read(r, c.DescribeObservabilityConfiguration, *arn, &apprunner.DescribeObservabilityConfigurationInput{ObservabilityConfigurationArn: arn})
		r.tags(arn)
	}
	for _, c := range read(r, c.ListConnections, "", &apprunner.ListConnectionsInput{}).ConnectionSummaryList {
		r.tags(c.ConnectionArn)
	}
}

func (r *reader) network() {
	r.t.Helper()
	c := r.Client()
	for _, v := range read(r, c.ListVpcConnectors, "", &apprunner.ListVpcConnectorsInput{}).VpcConnectors {
		read(r, c.DescribeVpcConnector, *v.VpcConnectorArn, &apprunner.DescribeVpcConnectorInput{VpcConnectorArn: v.VpcConnectorArn})
		r.tags(v.VpcConnectorArn)
	}
	for _, v := range read(r, c.ListVpcIngressConnections, "", &apprunner.ListVpcIngressConnectionsInput{}).VpcIngressConnectionSummaryList {
		arn := v.VpcIngressConnectionArn
		read(r, c.DescribeVpcIngressConnection, *arn, &apprunner.DescribeVpcIngressConnectionInput{VpcIngressConnectionArn: arn})
		r.tags(arn)
	}
}

func (r *reader) secrets() {
	r.t.Helper()
	c := secretsmanager.NewFromConfig(r.SDK())
	list, err := c.ListSecrets(r.ctx, &secretsmanager.ListSecretsInput{})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range list.SecretList {
		for _, stage := range []string{"AWSCURRENT", "AWSPREVIOUS"} {
			read(r, c.GetSecretValue, *s.ARN+" "+stage, &secretsmanager.GetSecretValueInput{SecretId: s.ARN, VersionStage: &stage})
		}
		read(r, c.DescribeSecret, *s.ARN, &secretsmanager.DescribeSecretInput{SecretId: s.ARN})
	}
	read(r, c.ListSecrets, "", &secretsmanager.ListSecretsInput{}) // last, since it shows when values were read
	p := ssm.NewFromConfig(r.SDK())
	for _, m := range read(r, p.DescribeParameters, "", &ssm.DescribeParametersInput{}).Parameters {
		decrypt := true
		read(r, p.GetParameter, *m.Name, &ssm.GetParameterInput{Name: m.Name, WithDecryption: &decrypt})
		read(r, p.GetParameterHistory, *m.Name, &ssm.GetParameterHistoryInput{Name: m.Name, WithDecryption: &decrypt})
	}
}

func (r *reader) users() {
	r.t.Helper()
	c := iam.NewFromConfig(r.SDK())
	for _, u := range read(r, c.ListUsers, "", &iam.ListUsersInput{}).Users {
		name := u.UserName
		read(r, c.GetUser, *name, &iam.GetUserInput{UserName: name})
		read(r, c.ListAccessKeys, *name, &iam.ListAccessKeysInput{UserName: name})
		read(r, c.ListAttachedUserPolicies, *name, &iam.ListAttachedUserPoliciesInput{UserName: name})
		for _, p := range read(r, c.ListUserPolicies, *name, &iam.ListUserPoliciesInput{UserName: name}).PolicyNames {
			read(r, c.GetUserPolicy, *name+" "+p, &iam.GetUserPolicyInput{UserName: name, PolicyName: &p})
		}
	}
	for _, p := range read(r, c.ListPolicies, "", &iam.ListPoliciesInput{}).Policies {
		read(r, c.GetPolicy, *p.Arn, &iam.GetPolicyInput{PolicyArn: p.Arn})
		read(r, c.GetPolicyVersion, *p.Arn, &iam.GetPolicyVersionInput{PolicyArn: p.Arn, VersionId: p.DefaultVersionId})
	}
}

func (r *reader) images() {
	r.t.Helper()
	c := ecrsdk.NewFromConfig(r.SDK())
	for _, repository := range read(r, c.DescribeRepositories, "", &ecrsdk.DescribeRepositoriesInput{}).Repositories {
		name, arn := repository.RepositoryName, repository.RepositoryArn
		read(r, c.DescribeImages, *name, &ecrsdk.DescribeImagesInput{RepositoryName: name})
		read(r, c.ListTagsForResource, *arn, &ecrsdk.ListTagsForResourceInput{ResourceArn: arn})
	}
	lifecycle := "kept"
	policy := read(r, c.GetLifecyclePolicy, lifecycle, &ecrsdk.GetLifecyclePolicyInput{RepositoryName: &lifecycle})
	policy.LastEvaluatedAt = nil // half a minute after its start each server evaluates the policies
}

// logLine is an event as GetLogEvents answers it.
type logLine struct {
	Timestamp, IngestionTime int64
	Message                  string
}

// logs reads every stream of every log group: deployment and application logs.
func (r *reader) logs() {
	r.t.Helper()
	var groups struct {
		LogGroups []struct{ LogGroupName string }
	}
	call(r.Server, "logs", "Logs_20140328.DescribeLogGroups", map[string]any{}, &groups)
	for _, g := range groups.LogGroups {
		if name := strings.Split(g.LogGroupName, "/")[3]; slices.Contains(r.skip, name) {
			continue
		}
		var streams struct {
			LogStreams []struct{ LogStreamName string }
		}
		call(r.Server, "logs", "Logs_20140328.DescribeLogStreams", map[string]any{"logGroupName": g.LogGroupName}, &streams)
		for _, s := range streams.LogStreams {
			r.out["GetLogEvents "+g.LogGroupName+" "+s.LogStreamName] = logLines(r.Server, g.LogGroupName, s.LogStreamName)
		}
	}
}

func logLines(s *harness.Server, group, stream string) []logLine {
	s.T.Helper()
	var page struct{ Events []logLine }
	call(s, "logs", "Logs_20140328.GetLogEvents", map[string]any{"logGroupName": group, "logStreamName": stream, "startFromHead": true}, &page)
	return page.Events
}

// webhooks reads the webhooks, without the number of their pending events.
func (r *reader) webhooks() {
	r.t.Helper()
	var list struct {
		Webhooks []struct {
			WebhookID   string `json:"WebhookId"`
			WebhookArn  string
			URL         string `json:"Url"`
			ServiceName *string
			Types       []string
			CreatedAt   float64
		}
	}
	call(r.Server, "apprunner", "Slipway.ListWebhooks", map[string]any{}, &list)
	if len(list.Webhooks) != 1 || list.Webhooks[0].URL == "" {
		r.t.Errorf("webhooks %+v, want one", list.Webhooks)
	}
	r.out["ListWebhooks"] = list
}

// lines returns the number of log lines of a service in the snapshot.
func (s snapshot) lines(service, group string) int {
	n := 0
	for key, value := range s {
		if strings.HasPrefix(key, "GetLogEvents /aws/apprunner/"+service+"/") && strings.Contains(key, "/"+group+" ") {
			n += len(value.([]logLine))
		}
	}
	return n
}

// auditRecords returns the records of all calls that changed something, by id.
func auditRecords(s *harness.Server) map[string]any {
	s.T.Helper()
	all := map[string]any{}
	in := map[string]any{}
	for {
		var page struct {
			Events    []map[string]any
			NextToken string
		}
		call(s, "cloudtrail", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents", in, &page)
		for _, e := range page.Events {
			all[e["EventId"].(string)] = e
		}
		if page.NextToken == "" {
			return all
		}
		in["NextToken"] = page.NextToken
	}
}

// call makes a call of AWS's JSON protocol that the module has no SDK for.
func call(s *harness.Server, service, target string, in, out any) {
	s.T.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		s.T.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, s.API+"/", bytes.NewReader(body))
	if err != nil {
		s.T.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", target)
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(s.T.Context(), s.Keys(), req, hex.EncodeToString(sum[:]), service, "us-east-1", time.Now()); err != nil {
		s.T.Fatal(err)
	}
	r, err := s.HTTPClient.Do(req)
	if err != nil {
		s.T.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		s.T.Fatalf("%s: %d %s (%v)", target, r.StatusCode, text, err)
	}
	if err := json.Unmarshal(text, out); err != nil {
		s.T.Fatalf("%s: %v: %s", target, err, text)
	}
}
