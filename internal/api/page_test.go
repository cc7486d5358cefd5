package api_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
)

// list reads all pages of a list and returns its entries' texts. between is
// called before each page but the first.
func (b *bench) list(operation, member string, max int, parameters string, text func(any) string, between func()) []string {
	b.Helper()
	var all []string
	token := ""
	for n := 0; ; n++ {
		body := fmt.Sprintf(`{"MaxResults":%d%s%s}`, max, parameters, token)
		doc := b.ok(operation, body)
		page := doc[member].([]any)
		for _, e := range page {
			all = append(all, text(e))
		}
		next, more := doc["NextToken"]
		if !more {
			return all
		}
		if len(page) != max {
			b.Errorf("%s: a page of %d entries is followed by another", operation, len(page))
		}
		if n > 100 {
			b.Fatalf("%s: pages do not end", operation)
		}
		token = `,"NextToken":"` + next.(string) + `"`
		if between != nil {
			between()
		}
	}
}

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

func member(name string) func(any) string {
	return func(v any) string { return fmt.Sprint(v.(map[string]any)[name]) }
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
		b.ok("StartDeployment", arnBody(arns[0]))
		b.end(arns[0], slipway.OperationSucceeded, slipway.StatusRunning)
	}
	for i := range 3 {
		b.ok("CreateAutoScalingConfiguration", fmt.Sprintf(`{"AutoScalingConfigurationName":"fast-%d"}`, i))
		b.ok("CreateAutoScalingConfiguration", fmt.Sprintf(`{"AutoScalingConfigurationName":"fast-%d"}`, i))
	}
	self := func(v any) string { return v.(string) }
	for _, c := range []struct {
		operation, member, parameters string
		text                          func(any) string
		entries                       int
	}{
		{"ListServices", "ServiceSummaryList", "", member("ServiceArn"), 7},
		{"ListOperations", "OperationSummaryList", `,"ServiceArn":"` + arns[0] + `"`, member("Id"), 5},
		{"ListAutoScalingConfigurations", "AutoScalingConfigurationSummaryList", "", member("AutoScalingConfigurationArn"), 4},
		{"ListAutoScalingConfigurations", "AutoScalingConfigurationSummaryList", `,"LatestOnly":false`, member("AutoScalingConfigurationArn"), 7},
		{"ListServicesForAutoScalingConfiguration", "ServiceArnList", `,"AutoScalingConfigurationArn":"` + defaultScaling + `"`, self, 7},
	} {
		var whole []string
		for _, e := range b.ok(c.operation, "{"+strings.TrimPrefix(c.parameters, ",")+"}")[c.member].([]any) {
			whole = append(whole, c.text(e))
		}
		if len(whole) != c.entries {
			t.Errorf("%s%s lists %d entries, want %d", c.operation, c.parameters, len(whole), c.entries)
		}
		for _, max := range []int{1, 2, 3, 5, 20} {
			if got := b.list(c.operation, c.member, max, c.parameters, c.text, nil); !slices.Equal(got, whole) {
				t.Errorf("%s%s by pages of %d:\n got %v\nwant %v", c.operation, c.parameters, max, got, whole)
			}
		}
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
	got := b.list("ListServices", "ServiceSummaryList", 2, "", member("ServiceName"), func() {
		b.Clock.Advance(time.Millisecond)
		b.ok("DeleteService", arnBody(arns[2*n+1])) // the last entry of the page before
		b.end(arns[2*n+1], slipway.OperationSucceeded, slipway.StatusDeleted)
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
	b.ok("StartDeployment", arnBody(one))
	b.ok("StartDeployment", arnBody(two))
	services := b.ok("ListServices", `{"MaxResults":1}`)["NextToken"].(string)
	operations := b.ok("ListOperations", arnBody(one, `"MaxResults":1`))["NextToken"].(string)
	const bad = "NextToken is not one that this operation returned for the same parameters."
	next := func(token string) string { return `"NextToken":"` + token + `"` }
	b.refused("ListOperations", arnBody(one, next(services)), "InvalidRequestException", bad)
	b.refused("ListOperations", arnBody(two, next(operations)), "InvalidRequestException", bad)
	b.refused("ListServices", "{"+next(operations)+"}", "InvalidRequestException", bad)
	b.refused("DescribeCustomDomains", arnBody(one, next(services)), "InvalidRequestException", bad)
	b.refused("ListServices", "{"+next("x")+"}", "InvalidRequestException", bad)
	b.refused("ListServices", "{"+next("!")+"}", "InvalidRequestException", bad)
	text, err := base64.RawURLEncoding.DecodeString(services)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{`["x","y"]`, `["-1","y"]`, `["1"]`, `null`, `["99999999999999999999","y"]`} {
		forged := string(text[:strings.Index(string(text), `"a":`)]) + `"a":` + key + "}"
		b.refused("ListServices", "{"+next(base64.RawURLEncoding.EncodeToString([]byte(forged)))+"}", "InvalidRequestException", bad)
	}
	// The size of a page may change from one to the next.
	b.ok("ListServices", `{"MaxResults":7,`+next(services)+`}`)
	b.ok("ListServices", `{"NextToken":""}`)
}
