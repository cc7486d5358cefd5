package audit_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/audit"
	"github.com/openslipway/slipway/internal/gateway"
)

// LookupEvents decides about each record: one about a thing, or of a user, that a Deny
// hides is left out, page by page. The control is root, to whom all are shown.
func TestRecordsShown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const account = "000000000000"
	service := "arn:aws:apprunner:us-east-1:" + account + ":service/"
	for i, o := range []struct{ user, resource string }{
		{"ann", service + "mine/1"},
		{"bob", service + "theirs/1"},
		{"root", service + "theirs/2"}, // shown: no Deny is about it
		{"eve", service + "mine/2"},    // eve may not be seen
		{"ann", service + "secret/1"},  // one's own, about a thing that the refusal did not name
		{"ann", "arn:aws:secretsmanager:us-east-1:" + account + ":secret:hidden-AbCdEf"},
		{"", ""}, // guesses of keys are of nobody
	} {
		c := gateway.Caller{User: o.user, KeyID: "AKIA", UserID: o.user, Account: account, ARN: gateway.UserARN(account, "/", o.user)}
		var about []string
		if o.resource != "" {
			about = []string{o.resource}
		}
		b.trail.Happened(t.Context(), audit.Occurrence{Caller: c, Source: "x.amazonaws.com", Name: fmt.Sprint(i), Resources: about})
	}
	ann := b.Limited([]gateway.Service{b.trail.Service()}, `{"Effect":"Allow","Action":"*","Resource":"*"},
		{"Effect":"Deny","Action":"apprunner:DescribeService","Resource":"`+service+`theirs/1"},
		{"Effect":"Deny","Action":"cloudtrail:LookupEvents","Resource":"`+service+`secret/*"},
		{"Effect":"Deny","Action":"secretsmanager:*","Resource":"*"},
		{"Effect":"Deny","Action":"iam:Get*","Resource":"arn:aws:iam::*:user/eve"}`)
	names := func(ask func(target, body string) map[string]any, most int) (list []string) {
		for token := ""; ; {
			doc := ask(lookup, fmt.Sprintf(`{"MaxResults":%d%s}`, most, token))
			for _, e := range doc["Events"].([]any) {
				list = append(list, e.(map[string]any)["EventName"].(string))
			}
			next, more := doc["NextToken"].(string)
			if !more {
				slices.Sort(list)
				return list
			}
			token = `,"NextToken":"` + next + `"`
		}
	}
	for _, most := range []int{1, 2, 50} {
		if diff := cmp.Diff([]string{"0", "2", "6"}, names(ann.OK, most)); diff != "" {
			t.Errorf("by %d: %s", most, diff)
		}
		if got := names(b.OK, most); len(got) != 7 {
			t.Errorf("root gets %q by %d", got, most)
		}
	}
}

// A call reads a bounded number of records, and its token goes on after them.
func TestHiddenRecordsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const hidden = 150
	put := func(user, name string) {
		c := gateway.Caller{User: user, KeyID: "AKIA", ARN: gateway.UserARN("000000000000", "/", user)}
		b.trail.Happened(t.Context(), audit.Occurrence{Caller: c, Source: "x.amazonaws.com", Name: name, Resources: []string{arn}})
		b.Clock.Advance(1)
	}
	put("ann", "shown")
	for range hidden {
		put("eve", "hidden")
	}
	ann := b.Limited([]gateway.Service{b.trail.Service()}, `{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"iam:GetUser","Resource":"arn:aws:iam::*:user/eve"}`)
	calls, found, token := 0, 0, ""
	for more := true; more; calls++ {
		doc := ann.OK(lookup, `{"MaxResults":1`+token+`}`)
		found += len(doc["Events"].([]any))
		var next string
		next, more = doc["NextToken"].(string)
		token = `,"NextToken":"` + next + `"`
	}
	if found != 1 || calls < 3 {
		t.Errorf("found %d in %d calls, want 1 in several", found, calls)
	}
}
