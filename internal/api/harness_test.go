package api_test

import (
	"errors"
	"net/http"
	"path"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	smithydocument "github.com/aws/smithy-go/document"
	"github.com/aws/smithy-go/middleware"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

const (
	region  = gatewaytest.Region
	account = gatewaytest.Account
	prefix  = "arn:aws:apprunner:" + region + ":" + account + ":"

	defaultScaling = prefix + "autoscalingconfiguration/DefaultConfiguration/1/00000000000000000000000000000001"
	noService      = prefix + "service/shop/0f3c6f2f5a7b4c0e9d1e2a3b4c5d6e7f"

	image = `"SourceConfiguration":{"ImageRepository":{"ImageIdentifier":"public.ecr.aws/nginx/nginx:latest","ImageRepositoryType":"ECR_PUBLIC"}}`
)

var t0 = gatewaytest.T0

// bench is the API behind a gateway.
type bench struct {
	*gatewaytest.Bench
	api *api.API
}

func newBench(t testing.TB, options ...func(*api.Config)) *bench {
	t.Helper()
	b := &bench{Bench: gatewaytest.New(t)}
	cfg := api.Config{Store: b.Store, Region: region, Account: account, Domain: "slipway.localhost", URLPort: 8080, Now: b.Clock.Now}
	for _, o := range options {
		o(&cfg)
	}
	var err error
	if b.api, err = api.New(cfg); err != nil {
		t.Fatal(err)
	}
	if err := b.api.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Open([]gateway.Service{b.api.Service()}, func(c *gateway.Config) { c.Now = cfg.Now })
	return b
}

// call makes a signed call over HTTP. A successful answer must have the form that
// the model gives the operation's output.
func (b *bench) call(operation, body string) gatewaytest.Reply {
	b.Helper()
	w := b.Send(b.Request("AppRunner."+operation, body))
	if w.Code == http.StatusOK {
		if op, ok := wire.OperationNamed(operation); ok {
			conforms(b, operation, op.Output, w.Doc)
		}
	}
	return w
}

// invoke calls the operation of the SDK's input in process and returns its output;
// see [bench.must].
func invoke[O any](b *bench, in any) *O {
	b.Helper()
	out, ok := b.must(in).(*O)
	if !ok {
		b.Fatalf("%s does not answer %T", operationOf(in), out)
	}
	return out
}

// must calls the operation of the SDK's input in process. The call must succeed,
// and its output have the form that the model gives it.
func (b *bench) must(in any) any {
	b.Helper()
	operation := operationOf(in)
	out, err := b.Invoke("apprunner:"+operation, in)
	if err != nil {
		b.Fatalf("%s %+v: %v", operation, in, err)
	}
	if op, ok := wire.OperationNamed(operation); ok {
		conforms(b, operation, op.Output, b.Doc(out))
	}
	return out
}

// refuse calls the operation of the SDK's input in process. The call must fail
// with the exception and a message that contains the text. It returns the
// exception.
func (b *bench) refuse(in any, exception, message string) *wire.Exception {
	b.Helper()
	operation := operationOf(in)
	out, err := b.Invoke("apprunner:"+operation, in)
	e, ok := errors.AsType[*wire.Exception](err)
	if !ok || e.Name != exception || !strings.Contains(e.Message, message) {
		b.Fatalf("%s %+v:\n got %+v, %v\nwant %s with %q", operation, in, out, err, exception, message)
	}
	return e
}

// operationOf returns the operation that an SDK's input belongs to.
func operationOf(in any) string {
	return strings.TrimSuffix(reflect.TypeOf(in).Elem().Name(), "Input")
}

// diff compares values of the SDK's types. Times are equal if they are the same
// instant; a nil slice, which the wire leaves out, differs from an empty one.
func diff(want, got any, options ...cmp.Option) string {
	return cmp.Diff(want, got, append(options, cmpopts.IgnoreTypes(smithydocument.NoSerde{}, middleware.Metadata{}))...)
}

// newService returns the input that creates a service from a public image, after
// the options have changed it.
func newService(name string, options ...func(*apprunner.CreateServiceInput)) *apprunner.CreateServiceInput {
	in := &apprunner.CreateServiceInput{
		ServiceName: &name,
		SourceConfiguration: &types.SourceConfiguration{ImageRepository: &types.ImageRepository{
			ImageIdentifier: aws.String("public.ecr.aws/nginx/nginx:latest"), ImageRepositoryType: types.ImageRepositoryTypeEcrPublic,
		}},
	}
	for _, change := range options {
		change(in)
	}
	return in
}

// ownMember is one that App Runner's reply does not have: its clients pass it over.
const ownMember = "DescribeCustomDomains.CustomDomains[].Certificates"

// conforms checks a value against a shape of the model: kinds, members known
// and required. Lengths and patterns are not checked, as the model's own for
// ids are wrong, nor are enumerated values, of which some are in lower case.
func conforms(t testing.TB, path string, s *wire.Shape, v any) {
	t.Helper()
	switch s.Kind {
	case wire.Structure:
		object, ok := v.(map[string]any)
		if !ok {
			t.Errorf("%s is %v, not an object", path, v)
			return
		}
		known := map[string]bool{}
		for _, m := range s.Members {
			known[m.Name] = true
			if value, ok := object[m.Name]; ok {
				conforms(t, path+"."+m.Name, m.Shape, value)
			} else if m.Required {
				t.Errorf("%s lacks %s, which is required", path, m.Name)
			}
		}
		for name := range object {
			if !known[name] && path+"."+name != ownMember {
				t.Errorf("%s has %s, which is not in the model", path, name)
			}
		}
	case wire.List:
		list, ok := v.([]any)
		if !ok {
			t.Errorf("%s is %v, not a list", path, v)
		}
		for _, e := range list {
			conforms(t, path+"[]", s.Elem, e)
		}
	case wire.Map:
		object, ok := v.(map[string]any)
		if !ok {
			t.Errorf("%s is %v, not a map", path, v)
		}
		for _, e := range object {
			conforms(t, path+"{}", s.Elem, e)
		}
	case wire.String:
		if _, ok := v.(string); !ok {
			t.Errorf("%s is %v, not a string", path, v)
		}
	case wire.Integer, wire.Timestamp:
		if _, ok := v.(float64); !ok {
			t.Errorf("%s is %v, not a number", path, v)
		}
	case wire.Boolean:
		if _, ok := v.(bool); !ok {
			t.Errorf("%s is %v, not a boolean", path, v)
		}
	}
}

// create creates a service of the name and lets its operation end. It returns
// its ARN.
func (b *bench) create(name string, options ...func(*apprunner.CreateServiceInput)) string {
	b.Helper()
	arn := *invoke[apprunner.CreateServiceOutput](b, newService(name, options...)).Service.ServiceArn
	b.end(arn, slipway.OperationSucceeded, slipway.StatusRunning)
	return arn
}

// describe returns the service of an ARN as DescribeService does.
func (b *bench) describe(arn string) *types.Service {
	b.Helper()
	return invoke[apprunner.DescribeServiceOutput](b, &apprunner.DescribeServiceInput{ServiceArn: &arn}).Service
}

// delete asks to delete a service.
func (b *bench) delete(arn string) *apprunner.DeleteServiceOutput {
	b.Helper()
	return invoke[apprunner.DeleteServiceOutput](b, &apprunner.DeleteServiceInput{ServiceArn: &arn})
}

// end acts for the engine: it ends the service's live operation and leaves the
// service in the status.
func (b *bench) end(arn string, as slipway.OperationStatus, rest slipway.Status) {
	b.Helper()
	now := b.Clock.Now()
	b.Update(func(tx *store.Tx) error {
		v, err := tx.Service(path.Base(arn))
		if err != nil {
			return err
		}
		op := *v.Live
		op.Status, op.StartedAt, op.UpdatedAt, op.EndedAt = as, now.Add(-time.Millisecond), now, now
		if op.Input.Spec != nil && as == slipway.OperationSucceeded {
			if err := tx.SetSpec(v.ID, *op.Input.Spec, now); err != nil {
				return err
			}
		}
		if err := tx.SaveOperation(op); err != nil {
			return err
		}
		return tx.SetStatus(v.ID, rest, now)
	})
}

func arnBody(arn string, members ...string) string {
	return `{` + strings.Join(append([]string{`"ServiceArn":"` + arn + `"`}, members...), ",") + `}`
}
