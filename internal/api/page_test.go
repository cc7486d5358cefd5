package api_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
)

// pages reads all pages of a list and returns its entries' texts. read reads the
// page after a token and returns the next token; between is called before each
// page but the first, nil for nothing.
func pages(b *bench, max int32, read func(max *int32, token *string) ([]string, *string), between func()) []string {
	b.Helper()
	var all []string
	var token *string
	for range 100 {
		page, next := read(&max, token)
		all = append(all, page...)
		if next == nil {
			return all
		}
		if len(page) != int(max) {
			b.Errorf("a page of %d entries is followed by another", len(page))
		}
		if token = next; between != nil {
			between()
		}
	}
	b.Fatal("the pages do not end")
	return nil
}

func TestPages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var names, arns []string
	for i := range 7 {
		if i%3 == 0 { // some share their time of creation
			b.Clock.Advance(time.Millisecond)
		}
		names = append(names, fmt.Sprintf("shop-%d", i))
		arns = append(arns, b.create(names[i]))
	}
	for range 4 {
		b.Clock.Advance(time.Millisecond)
		b.deploy(arns[0])
		b.end(arns[0], slipway.OperationSucceeded, slipway.StatusRunning)
	}
	for i := range 3 {
		b.scaling(fmt.Sprintf("fast-%d", i))
		b.scaling(fmt.Sprintf("fast-%d", i))
	}
	for name, c := range map[string]struct {
		read    func(max *int32, token *string) ([]string, *string)
		entries int
	}{
		"services": {b.pageOfServices, 7},
		"operations": {func(max *int32, token *string) ([]string, *string) {
			out := invoke[apprunner.ListOperationsOutput](b, &apprunner.ListOperationsInput{ServiceArn: &arns[0], MaxResults: max, NextToken: token})
			return each(out.OperationSummaryList, func(o types.OperationSummary) *string { return o.Id }), out.NextToken
		}, 5},
		"configurations":     {b.pagesOfScalings(`{}`), 4},
		"all configurations": {b.pagesOfScalings(`{"LatestOnly":false}`), 7},
		"services of a configuration": {func(max *int32, token *string) ([]string, *string) {
			out := invoke[apprunner.ListServicesForAutoScalingConfigurationOutput](b, &apprunner.ListServicesForAutoScalingConfigurationInput{
				AutoScalingConfigurationArn: aws.String(defaultScaling), MaxResults: max, NextToken: token,
			})
			return out.ServiceArnList, out.NextToken
		}, 7},
	} {
		whole, next := c.read(nil, nil)
		if len(whole) != c.entries || next != nil {
			t.Errorf("%s: %d entries and the token %v, want %d entries", name, len(whole), next, c.entries)
		}
		for _, max := range []int32{1, 2, 3, 5, 20} {
			if got := pages(b, max, c.read, nil); !slices.Equal(got, whole) {
				t.Errorf("%s by pages of %d:\n got %v\nwant %v", name, max, got, whole)
			}
		}
	}
}

// pageOfServices reads a page of ListServices, for [pages].
func (b *bench) pageOfServices(max *int32, token *string) ([]string, *string) {
	b.Helper()
	out := invoke[apprunner.ListServicesOutput](b, &apprunner.ListServicesInput{MaxResults: max, NextToken: token})
	return each(out.ServiceSummaryList, func(s types.ServiceSummary) *string { return s.ServiceName }), out.NextToken
}

// pagesOfScalings reads pages of ListAutoScalingConfigurations with parameters in
// JSON, for [pages].
func (b *bench) pagesOfScalings(parameters string) func(max *int32, token *string) ([]string, *string) {
	return func(max *int32, token *string) ([]string, *string) {
		b.Helper()
		body := map[string]any{}
		if err := json.Unmarshal([]byte(parameters), &body); err != nil {
			b.Fatal(err)
		}
		if max != nil {
			body["MaxResults"] = *max
		}
		if token != nil {
			body["NextToken"] = *token
		}
		text, err := json.Marshal(body)
		if err != nil {
			b.Fatal(err)
		}
		out := b.listScalings(string(text))
		return each(out.AutoScalingConfigurationSummaryList, func(c types.AutoScalingConfigurationSummary) *string {
			return c.AutoScalingConfigurationArn
		}), out.NextToken
	}
}

// Entries that come and go while a list is read neither repeat nor hide others.
func TestPagesUnderChange(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var arns []string
	for i := range 6 {
		b.Clock.Advance(time.Millisecond)
		arns = append(arns, b.create(fmt.Sprintf("shop-%d", i)))
	}
	n := 0
	got := pages(b, 2, b.pageOfServices, func() {
		b.Clock.Advance(time.Millisecond)
		b.removeService(arns[2*n+1]) // the last entry of the page before
		if n == 0 {
			b.create("late")
		}
		n++
	})
	want := []string{"shop-0", "shop-1", "shop-2", "shop-3", "shop-4", "shop-5", "late"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTokensAreBound(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *api.Config) { c.Quotas.Services = -1 })
	one, two := b.create("one1"), b.create("two2")
	b.deploy(one)
	b.deploy(two)
	services := invoke[apprunner.ListServicesOutput](b, &apprunner.ListServicesInput{MaxResults: aws.Int32(1)}).NextToken
	operations := invoke[apprunner.ListOperationsOutput](b, &apprunner.ListOperationsInput{ServiceArn: &one, MaxResults: aws.Int32(1)}).NextToken
	refused := func(in any) {
		t.Helper()
		b.refuse(in, "InvalidRequestException", "NextToken is not one that this operation returned for the same parameters.")
	}
	refused(&apprunner.ListOperationsInput{ServiceArn: &one, NextToken: services})
	refused(&apprunner.ListOperationsInput{ServiceArn: &two, NextToken: operations})
	refused(&apprunner.DescribeCustomDomainsInput{ServiceArn: &one, NextToken: services})
	for _, token := range []*string{operations, aws.String("x"), aws.String("!")} {
		refused(&apprunner.ListServicesInput{NextToken: token})
	}
	text, err := base64.RawURLEncoding.DecodeString(*services)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{`["x","y"]`, `["-1","y"]`, `["1"]`, `null`, `["99999999999999999999","y"]`} {
		forged := string(text[:strings.Index(string(text), `"a":`)]) + `"a":` + key + "}"
		refused(&apprunner.ListServicesInput{NextToken: aws.String(base64.RawURLEncoding.EncodeToString([]byte(forged)))})
	}
	// The size of a page may change from one to the next.
	b.must(&apprunner.ListServicesInput{MaxResults: aws.Int32(7), NextToken: services})
	b.must(&apprunner.ListServicesInput{NextToken: aws.String("")})
}
