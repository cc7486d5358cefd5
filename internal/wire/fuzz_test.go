package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/openslipway/slipway/internal/wire"
)

// canonical re-encodes JSON so that the order of members does not matter.
func canonical(t testing.TB, s string) string {
	t.Helper()
	var v any
	d := json.NewDecoder(bytes.NewReader([]byte(s)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, s)
	}
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// FuzzCodec gives any bytes to the decoder. It must refuse them with an
// exception or return an input that survives encoding and decoding. The checks
// must never panic and must answer only with exceptions.
func FuzzCodec(f *testing.F) {
	for _, s := range []string{
		``, `null`, `{}`, `[]`, `{"Tags":[null]}`, `{"Tags":[{"Key":"a","Value":null}]}`,
		`{"ServiceName":"shop",` + image + `,"NetworkConfiguration":{"IngressConfiguration":{}}}`,
		`{"SourceConfiguration":{"ImageRepository":{"ImageConfiguration":{"RuntimeEnvironmentVariables":{"A":"b","C":null}}}}}`,
		`{"HealthCheckConfiguration":{"Interval":1e1,"Timeout":-2147483648}}`,
		`{"ObservabilityConfiguration":{"ObservabilityEnabled":false}}`,
		`{"ServiceName":"\ud83d\ude00\u0000"}`, `{"a":1,"a":2}`, `{"ServiceName":"x"} trailing`, "\xef\xbb\xbf{}",
	} {
		f.Add([]byte(s))
	}
	op := operation(f, "CreateService")
	f.Fuzz(func(t *testing.T, body []byte) {
		var in apprunner.CreateServiceInput
		if err := wire.Unmarshal(body, &in); err != nil {
			mustBeException(t, err)
			return
		}
		if err := op.Validate(body); err != nil {
			mustBeException(t, err)
		}
		out, err := wire.Marshal(&in)
		if err != nil {
			t.Fatalf("encode what %q decoded to: %v", body, err)
		}
		var again apprunner.CreateServiceInput
		if err := wire.Unmarshal(out, &again); err != nil {
			t.Fatalf("decode %s: %v", out, err)
		}
		if d := cmp.Diff(in, again, cmp.FilterPath(unexported, cmp.Ignore()), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%q changed on its way through %s (-first +second):\n%s", body, out, d)
		}
	})
}

func mustBeException(t *testing.T, err error) {
	t.Helper()
	e, ok := errors.AsType[*wire.Exception](err)
	if !ok {
		t.Fatalf("%v is no exception", err)
	}
	if !json.Valid(e.Body()) {
		t.Errorf("%s is not JSON", e.Body())
	}
}

// FuzzValidate checks bodies that were not decoded first, against all inputs.
func FuzzValidate(f *testing.F) {
	f.Add("TagResource", []byte(`{"ResourceArn":1,"Tags":{"Key":[]}}`))
	f.Add("UpdateService", []byte(`{"InstanceConfiguration":"x","HealthCheckConfiguration":{"Interval":99}}`))
	f.Fuzz(func(t *testing.T, name string, body []byte) {
		op, ok := wire.OperationNamed(name)
		if !ok {
			return
		}
		if err := op.Validate(body); err != nil {
			mustBeException(t, err)
		}
	})
}
