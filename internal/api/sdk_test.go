package api_test

import (
	"errors"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
)

// realTime makes the API use the real time, with which clients sign.
func realTime(c *api.Config) { c.Now = time.Now }

func newSDKBench(t *testing.T) (*bench, *apprunner.Client) {
	b := newBench(t, realTime)
	b.Clock.Advance(time.Since(t0))
	return b, b.client()
}

// The life of a service through the SDK.
func TestSDKLife(t *testing.T) {
	t.Parallel()
	b, c := newSDKBench(t)
	ctx := t.Context()
	created, err := c.CreateService(ctx, &apprunner.CreateServiceInput{
		ServiceName: aws.String("shop"),
		SourceConfiguration: &types.SourceConfiguration{ImageRepository: &types.ImageRepository{
			ImageIdentifier: aws.String("ghcr.io/example/shop:1"), ImageRepositoryType: types.ImageRepositoryTypeEcr,
			ImageConfiguration: &types.ImageConfiguration{RuntimeEnvironmentVariables: map[string]string{"A": "1"}},
		}},
		InstanceConfiguration: &types.InstanceConfiguration{Cpu: aws.String("1 vCPU"), Memory: aws.String("3 GB")},
		NetworkConfiguration:  &types.NetworkConfiguration{IngressConfiguration: &types.IngressConfiguration{IsPubliclyAccessible: false}},
		Tags:                  []types.Tag{{Key: aws.String("team"), Value: aws.String("web")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, arn := created.Service, created.Service.ServiceArn
	if s.Status != types.ServiceStatusOperationInProgress || *s.InstanceConfiguration.Memory != "3072" || s.NetworkConfiguration.IngressConfiguration.IsPubliclyAccessible {
		t.Errorf("created: %s, %s MB, public %t", s.Status, *s.InstanceConfiguration.Memory, s.NetworkConfiguration.IngressConfiguration.IsPubliclyAccessible)
	}
	if d := time.Since(*s.CreatedAt); d < 0 || d > time.Hour {
		t.Errorf("created %s ago", d)
	}
	b.end(*arn, slipway.OperationSucceeded, slipway.StatusRunning)
	tags, err := c.ListTagsForResource(ctx, &apprunner.ListTagsForResourceInput{ResourceArn: arn})
	if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Key != "team" {
		t.Errorf("tags %v, %v", tags, err)
	}
	paused, err := c.PauseService(ctx, &apprunner.PauseServiceInput{ServiceArn: arn})
	if err != nil {
		t.Fatal(err)
	}
	b.end(*arn, slipway.OperationSucceeded, slipway.StatusPaused)
	again, err := c.PauseService(ctx, &apprunner.PauseServiceInput{ServiceArn: arn})
	if err != nil || again.OperationId != nil || again.Service.Status != types.ServiceStatusPaused {
		t.Errorf("pausing a paused service: %v, %v", again, err)
	}
	p := apprunner.NewListOperationsPaginator(c, &apprunner.ListOperationsInput{ServiceArn: arn, MaxResults: aws.Int32(1)})
	var kinds []types.OperationType
	for p.HasMorePages() {
		page, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.OperationSummaryList {
			kinds = append(kinds, o.Type)
			if o.Type == types.OperationTypePauseService && *o.Id != *paused.OperationId {
				t.Errorf("the pause is listed as %s, not %s", *o.Id, *paused.OperationId)
			}
		}
	}
	if len(kinds) != 2 || kinds[0] != types.OperationTypePauseService {
		t.Errorf("operations %v", kinds)
	}
}

// Exceptions are the SDK's own types, with the request's id.
func TestSDKErrors(t *testing.T) {
	t.Parallel()
	b, c := newSDKBench(t)
	ctx := t.Context()
	_, err := c.DescribeService(ctx, &apprunner.DescribeServiceInput{ServiceArn: aws.String(noService)})
	if e, ok := errors.AsType[*types.ResourceNotFoundException](err); !ok || *e.Message != "Service not found: "+noService {
		t.Errorf("unknown service: %v", err)
	}
	if e, ok := errors.AsType[*awshttp.ResponseError](err); !ok || len(e.RequestID) != 36 || e.HTTPStatusCode() != 400 {
		t.Errorf("unknown service: %v has no request id or another status", err)
	}
	arn := b.create("shop")
	if _, err := c.StartDeployment(ctx, &apprunner.StartDeploymentInput{ServiceArn: &arn}); err != nil {
		t.Fatal(err)
	}
	_, err = c.DeleteService(ctx, &apprunner.DeleteServiceInput{ServiceArn: &arn})
	if _, ok := errors.AsType[*types.InvalidStateException](err); !ok {
		t.Errorf("deleting during an operation: %v", err)
	}
	_, err = c.StartDeployment(ctx, &apprunner.StartDeploymentInput{ServiceArn: &arn})
	if _, ok := errors.AsType[*types.InvalidRequestException](err); !ok {
		t.Errorf("deploying during an operation: %v", err)
	}
}

// A client with a wrong clock corrects it by the Date header of the refusal and
// succeeds when it retries. The SDK does this by itself.
func TestSDKClockSkew(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *api.Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Hour) }
	})
	c := b.client()
	out, err := c.ListServices(t.Context(), &apprunner.ListServicesInput{}, func(o *apprunner.Options) {
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond })
	})
	if err != nil || len(out.ServiceSummaryList) != 0 {
		t.Errorf("%v, %v", out, err)
	}
}

// losing loses the reply to the first attempt at each call.
type losing struct {
	base http.RoundTripper
	lost map[string]bool // by the SDK's id of the call
}

func (l losing) RoundTrip(r *http.Request) (*http.Response, error) {
	reply, err := l.base.RoundTrip(r)
	id := r.Header.Get("Amz-Sdk-Invocation-Id")
	if err != nil || l.lost[id] {
		return reply, err
	}
	l.lost[id] = true
	reply.Body.Close()
	return nil, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
}

// The SDK retries a call whose reply was lost; the two attempts are one call.
func TestLostReplies(t *testing.T) {
	t.Parallel()
	b, c := newSDKBench(t)
	lossy := func(o *apprunner.Options) {
		o.HTTPClient = &http.Client{Transport: losing{o.HTTPClient.(*http.Client).Transport, map[string]bool{}}}
		o.Retryer = retry.NewStandard(func(r *retry.StandardOptions) {
			r.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		})
	}
	for revision := range int32(2) {
		out, err := c.CreateAutoScalingConfiguration(t.Context(), &apprunner.CreateAutoScalingConfigurationInput{AutoScalingConfigurationName: aws.String("fast")}, lossy)
		if err != nil {
			t.Fatal(err)
		}
		if got := *out.AutoScalingConfiguration.AutoScalingConfigurationRevision; got != revision+1 {
			t.Errorf("revision %d, want %d", got, revision+1)
		}
	}
	arn := b.create("shop")
	op, err := c.PauseService(t.Context(), &apprunner.PauseServiceInput{ServiceArn: &arn}, lossy)
	if err != nil {
		t.Fatal(err)
	}
	b.end(arn, slipway.OperationSucceeded, slipway.StatusPaused)
	list, err := c.ListOperations(t.Context(), &apprunner.ListOperationsInput{ServiceArn: &arn}, lossy)
	if err != nil || len(list.OperationSummaryList) != 2 || *list.OperationSummaryList[0].Id != *op.OperationId {
		t.Errorf("%+v, %v; want %s on top of two", list, err, *op.OperationId)
	}
}
