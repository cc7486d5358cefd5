package wire_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/wire"
)

func ptr[T any](v T) *T { return &v }

func TestMarshal(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1795429264716)
	for _, c := range []struct {
		name string
		in   any
		want string
	}{
		{"nothing set", &apprunner.TagResourceOutput{}, `{}`},
		{
			"times have milliseconds", &types.Service{CreatedAt: &at, UpdatedAt: ptr(time.Unix(1606156217, 0)), DeletedAt: ptr(time.Unix(1, 999_999_999))},
			`{"CreatedAt":1795429264.716,"DeletedAt":1.999,"UpdatedAt":1606156217}`,
		},
		{"false and 0 are kept", &types.ObservabilityConfiguration{}, `{"Latest":false,"ObservabilityConfigurationRevision":0}`},
		{
			"false behind a member", &types.NetworkConfiguration{IngressConfiguration: &types.IngressConfiguration{}},
			`{"IngressConfiguration":{"IsPubliclyAccessible":false}}`,
		},
		{"empty text behind a pointer is kept", &types.Tag{Key: ptr("k"), Value: ptr("")}, `{"Key":"k","Value":""}`},
		{
			"an empty list is kept, an unset one is not",
			&apprunner.DescribeCustomDomainsOutput{CustomDomains: []types.CustomDomain{}, DNSTarget: ptr("d")},
			`{"CustomDomains":[],"DNSTarget":"d"}`,
		},
		{
			"an empty map is kept", &types.ImageConfiguration{RuntimeEnvironmentVariables: map[string]string{}},
			`{"RuntimeEnvironmentVariables":{}}`,
		},
		{
			"maps are sorted", &types.ImageConfiguration{RuntimeEnvironmentVariables: map[string]string{"b": "2", "a": "<&>"}},
			`{"RuntimeEnvironmentVariables":{"a":"<&>","b":"2"}}`,
		},
		{"enumerations", &types.HealthCheckConfiguration{Protocol: types.HealthCheckProtocolHttp}, `{"Protocol":"HTTP"}`},
		{
			"nulls of a nested list's elements", &types.CustomDomain{CertificateValidationRecords: []types.CertificateValidationRecord{{}, {Name: ptr("n")}}},
			`{"CertificateValidationRecords":[{},{"Name":"n"}]}`,
		},
	} {
		got, err := wire.Marshal(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if d := cmp.Diff(canonical(t, c.want), canonical(t, string(got))); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
		if strings.Contains(string(got), "null") || strings.Contains(string(got), "ResultMetadata") {
			t.Errorf("%s: %s has a null or ResultMetadata", c.name, got)
		}
	}
}

// A null inside a string, not an unset member, must survive dropNulls; so must
// strings that look like JSON.
func TestMarshalKeepsStringsAsTheyAre(t *testing.T) {
	t.Parallel()
	const text = "null \x00 \" \\ { [ 世界 \u2028"
	got, err := wire.Marshal(&types.Tag{Key: ptr(text), Value: ptr("null")})
	if err != nil {
		t.Fatal(err)
	}
	var back types.Tag
	if err := wire.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
	if *back.Key != text || *back.Value != "null" {
		t.Errorf("%q, %q came back from %s", *back.Key, *back.Value, got)
	}
}

func TestMarshalRefusesInvalidText(t *testing.T) {
	t.Parallel()
	if b, err := wire.Marshal(&types.Tag{Key: ptr("\xff")}); err == nil {
		t.Errorf("invalid UTF-8 was written as %s", b)
	}
}

func TestUnmarshal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body string
		want       apprunner.CreateServiceInput
	}{
		{"empty body", "", apprunner.CreateServiceInput{}},
		{"blank body", " \n", apprunner.CreateServiceInput{}},
		{"null", "null", apprunner.CreateServiceInput{}},
		{"unknown members", `{"ServiceName":"shop","Later":{"a":[1,null]}}`, apprunner.CreateServiceInput{ServiceName: ptr("shop")}},
		{"names are case sensitive", `{"servicename":"shop"}`, apprunner.CreateServiceInput{}},
		{
			"null is absent", `{"ServiceName":null,"Tags":null,"NetworkConfiguration":{"IngressConfiguration":{"IsPubliclyAccessible":null}}}`,
			apprunner.CreateServiceInput{NetworkConfiguration: &types.NetworkConfiguration{IngressConfiguration: &types.IngressConfiguration{}}},
		},
		{
			"an empty IngressConfiguration is a private service", `{"NetworkConfiguration":{"IngressConfiguration":{}}}`,
			apprunner.CreateServiceInput{NetworkConfiguration: &types.NetworkConfiguration{IngressConfiguration: &types.IngressConfiguration{}}},
		},
		{
			"numbers", `{"HealthCheckConfiguration":{"Interval":20,"Timeout":0}}`,
			apprunner.CreateServiceInput{HealthCheckConfiguration: &types.HealthCheckConfiguration{Interval: ptr(int32(20)), Timeout: ptr(int32(0))}},
		},
		{"ResultMetadata is no member", `{"ResultMetadata":{"a":1}}`, apprunner.CreateServiceInput{}},
	} {
		var got apprunner.CreateServiceInput
		if err := wire.Unmarshal([]byte(c.body), &got); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if d := cmp.Diff(c.want, got, cmp.FilterPath(unexported, cmp.Ignore())); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}

func TestUnmarshalNamesTaggedMembers(t *testing.T) {
	t.Parallel()
	var in struct {
		Limit *int `json:"limit"`
	}
	err := wire.Unmarshal([]byte(`{"limit":"x"}`), &in)
	if e, ok := errors.AsType[*wire.Exception](err); !ok || e.Message != "STRING_VALUE can not be converted to Integer (member limit)" {
		t.Errorf("%v", err)
	}
}

// unexported matches the SDK structs' marker field.
func unexported(p cmp.Path) bool {
	return strings.HasSuffix(p.Last().String(), "noSmithyDocumentSerde")
}

func TestUnmarshalRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ body, message string }{
		{`{`, "The request body is not valid JSON (at byte 1)."},
		{`{"ServiceName":"shop"}{}`, "The request body is not valid JSON (at byte 22)."},
		{`{"ServiceName":"a","ServiceName":"b"}`, "The request body has an object that names a member twice (at byte 19)."},
		{"{\"ServiceName\":\"\xff\"}", "The request body is not valid JSON (at byte 16)."},
		{`[]`, "The request body must be a JSON object."},
		{`"shop"`, "The request body must be a JSON object."},
		{`{"ServiceName":1}`, "NUMBER_VALUE can not be converted to String (member serviceName)"},
		{`{"ServiceName":true}`, "TRUE_VALUE can not be converted to String (member serviceName)"},
		{`{"ServiceName":{}}`, "Start of structure or map found where not expected: String required. (member serviceName)"},
		{`{"HealthCheckConfiguration":{"Interval":"secret"}}`, "STRING_VALUE can not be converted to Integer (member healthCheckConfiguration.interval)"},
		{`{"HealthCheckConfiguration":{"Interval":1.5}}`, "NUMBER_VALUE can not be converted to Integer (member healthCheckConfiguration.interval)"},
		{`{"HealthCheckConfiguration":{"Interval":4294967296}}`, "NUMBER_VALUE can not be converted to Integer (member healthCheckConfiguration.interval)"},
		{`{"HealthCheckConfiguration":[]}`, "Start of structure or map found where not expected: Structure required. (member healthCheckConfiguration)"},
		{`{"Tags":"x"}`, "STRING_VALUE can not be converted to List (member tags)"},
		{`{"Tags":[{},{"Key":false}]}`, "FALSE_VALUE can not be converted to String (member tags.2.member.key)"},
		{
			`{"SourceConfiguration":{"ImageRepository":{"ImageConfiguration":{"RuntimeEnvironmentVariables":{"HUSH":7}}}}}`,
			"NUMBER_VALUE can not be converted to String (member sourceConfiguration.imageRepository.imageConfiguration.runtimeEnvironmentVariables)",
		},
		{
			`{"SourceConfiguration":{"AutoDeploymentsEnabled":"yes"}}`,
			"STRING_VALUE can not be converted to Boolean (member sourceConfiguration.autoDeploymentsEnabled)",
		},
	} {
		var in apprunner.CreateServiceInput
		err := wire.Unmarshal([]byte(c.body), &in)
		e, ok := errors.AsType[*wire.Exception](err)
		if !ok {
			t.Errorf("%s: %v, want an exception", c.body, err)
			continue
		}
		if e.Name != wire.SerializationException || e.Status != 400 || e.Message != c.message {
			t.Errorf("%s:\n got %d %s %q\nwant 400 SerializationException %q", c.body, e.Status, e.Name, e.Message, c.message)
		}
	}
}
