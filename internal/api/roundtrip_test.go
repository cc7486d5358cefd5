package api_test

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
	"github.com/openslipway/slipway/internal/wire"
	"github.com/openslipway/slipway/internal/wire/modeltest"
)

// filler gives each member of a structure a different value, or a present zero
// value: false, 0, "", an empty list.
type filler struct {
	least bool
	n     int
}

func (f *filler) fill(v reflect.Value) {
	f.n++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem())
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			at := time.UnixMilli(1_700_000_000_000 + int64(f.n)*1001)
			if f.least {
				at = time.UnixMilli(0)
			}
			v.Set(reflect.ValueOf(at.UTC()))
			return
		}
		for field, value := range v.Fields() {
			if field.IsExported() && field.Name != "ResultMetadata" {
				f.fill(value)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), f.size(), f.size()))
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range f.size() {
			value := reflect.New(v.Type().Elem()).Elem()
			f.fill(value)
			v.SetMapIndex(reflect.ValueOf(fmt.Sprintf("key \"%d\"", f.n)), value)
		}
	case reflect.String:
		if !f.least {
			v.SetString(fmt.Sprintf("ä %d <&\n\"", f.n))
		}
	case reflect.Int32:
		if !f.least {
			v.SetInt(int64(f.n))
		}
	case reflect.Bool:
		v.SetBool(!f.least)
	default:
		panic("no value for " + v.Type().String())
	}
}

func (f *filler) size() int {
	if f.least {
		return 0
	}
	return 2
}

// canned is a service whose operations answer with filled outputs, and what these
// hold. Calls pass the gateway and the codec.
func canned(least bool) (gateway.Service, map[string]map[string]any) {
	s := gateway.Service{
		Name: "apprunner", Internal: "InternalServiceErrorException",
		Protocol: gateway.Protocol{ContentType: "application/x-amz-json-1.0", Targets: []string{"AppRunner."}},
	}
	holds := map[string]map[string]any{}
	f := &filler{least: least}
	for name := range wire.Operations() {
		method, ok := reflect.TypeFor[*apprunner.Client]().MethodByName(name)
		if !ok {
			panic("Go's SDK has no operation " + name)
		}
		output := reflect.New(method.Type.Out(0).Elem())
		f.fill(output.Elem())
		holds[name] = document(output).(map[string]any)
		answer := output.Interface()
		s.Operations = append(s.Operations, gateway.Read(name,
			func(context.Context, *gateway.Call, *struct{}) (*any, error) { return &answer, nil }, gateway.NoPermission))
	}
	return s, holds
}

// Each member of each output reaches each client: once with values that are all
// different, once with zero values.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, least := range []bool{false, true} {
		service, holds := canned(least)
		for name, start := range sdks {
			t.Run(fmt.Sprintf("%s, least values %t", name, least), func(t *testing.T) {
				t.Parallel()
				model := modeltest.Load(t)
				b := &bench{Bench: gatewaytest.New(t)}
				b.Clock.Advance(time.Since(t0))
				b.Open([]gateway.Service{service})
				client := start(t, b)
				for _, op := range slices.Sorted(maps.Keys(model.Operations)) {
					if !least {
						whole(t, op, model.Operations[op].Output, holds[op])
					}
					got, code, message := client.call(t, op, sample(model.Operations[op].Input))
					if code != "" {
						t.Errorf("%s: %s %s", op, code, message)
						continue
					}
					if d := cmp.Diff(any(holds[op]), any(got)); d != "" {
						t.Errorf("%s: the client sees other values (-sent +seen):\n%s", op, d)
					}
				}
			})
		}
	}
}

// whole checks that a document has each member that the model's shape has.
func whole(t *testing.T, path string, s *modeltest.Shape, v any) {
	t.Helper()
	switch s.Type {
	case "structure":
		for _, m := range s.Members {
			value, ok := v.(map[string]any)[m.Name]
			if !ok {
				t.Errorf("%s lacks %s: the test misses a member", path, m.Name)
				continue
			}
			whole(t, path+"."+m.Name, m.Shape, value)
		}
	case "list":
		for _, e := range v.([]any) {
			whole(t, path+"[]", s.Elem, e)
		}
	}
}

// Each client creates, finds, tags and deletes resources with real calls, and
// recognizes the exceptions.
func TestRealCalls(t *testing.T) {
	t.Parallel()
	for name, start := range sdks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, realTime)
			b.Clock.Advance(time.Since(t0))
			r := realCalls{t, start(t, b)}
			for _, c := range []struct {
				create, wrapper, arn, remove string
				input                        map[string]any
			}{
				{"CreateAutoScalingConfiguration", "AutoScalingConfiguration", "AutoScalingConfigurationArn", "DeleteAutoScalingConfiguration", map[string]any{"AutoScalingConfigurationName": "fast", "MaxConcurrency": 7}},
				{"CreateConnection", "Connection", "ConnectionArn", "DeleteConnection", map[string]any{"ConnectionName": "code", "ProviderType": "GITHUB"}},
				{"CreateObservabilityConfiguration", "ObservabilityConfiguration", "ObservabilityConfigurationArn", "DeleteObservabilityConfiguration", map[string]any{"ObservabilityConfigurationName": "traces", "TraceConfiguration": map[string]any{"Vendor": "AWSXRAY"}}},
				{"CreateVpcConnector", "VpcConnector", "VpcConnectorArn", "DeleteVpcConnector", map[string]any{"VpcConnectorName": "private", "Subnets": []string{"subnet-1"}}},
			} {
				c.input["Tags"] = []any{map[string]any{"Key": "team", "Value": "web"}}
				created := r.ok(c.create, c.input)[c.wrapper].(map[string]any)
				if at := time.UnixMilli(int64(created["CreatedAt"].(float64))); time.Since(at).Abs() > time.Hour {
					t.Errorf("%s: created at %v", c.create, at)
				}
				arn := created[c.arn].(string)
				r.ok("TagResource", map[string]any{"ResourceArn": arn, "Tags": []any{map[string]any{"Key": "new", "Value": ""}}})
				r.ok("UntagResource", map[string]any{"ResourceArn": arn, "TagKeys": []string{"team"}})
				tags := r.ok("ListTagsForResource", map[string]any{"ResourceArn": arn})["Tags"]
				if d := cmp.Diff(any([]any{map[string]any{"Key": "new", "Value": ""}}), tags); d != "" {
					t.Errorf("%s: tags (-want +got):\n%s", c.create, d)
				}
				r.ok(c.remove, map[string]any{c.arn: arn})
				r.refused(c.remove, map[string]any{c.arn: arn}, "ResourceNotFoundException")
			}
			source := map[string]any{"ImageRepository": map[string]any{"ImageIdentifier": "shop:1", "ImageRepositoryType": "ECR"}}
			created := r.ok("CreateService", map[string]any{"ServiceName": "shop", "SourceConfiguration": source})
			service := created["Service"].(map[string]any)["ServiceArn"]
			r.refused("PauseService", map[string]any{"ServiceArn": service}, "InvalidStateException")
			r.refused("CreateService", map[string]any{"ServiceName": "shop", "SourceConfiguration": source}, "InvalidRequestException")
			list := r.ok("ListOperations", map[string]any{"ServiceArn": service})["OperationSummaryList"].([]any)
			if len(list) != 1 || list[0].(map[string]any)["Id"] != created["OperationId"] {
				t.Errorf("operations %v, want %v", list, created["OperationId"])
			}
			if n := len(r.ok("ListServices", map[string]any{})["ServiceSummaryList"].([]any)); n != 1 {
				t.Errorf("%d services are listed", n)
			}
		})
	}
}

// realCalls are calls of a client that must have the same outcome.
type realCalls struct {
	t      *testing.T
	client sdk
}

func (r realCalls) ok(operation string, input any) map[string]any {
	r.t.Helper()
	out, code, message := r.client.call(r.t, operation, input)
	if code != "" {
		r.t.Fatalf("%s %v: %s %s", operation, input, code, message)
	}
	return out
}

func (r realCalls) refused(operation string, input any, want string) {
	r.t.Helper()
	if _, code, message := r.client.call(r.t, operation, input); code != want {
		r.t.Errorf("%s %v: %s %s, want %s", operation, input, code, message, want)
	}
}
