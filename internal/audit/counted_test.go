package audit_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/audit"
	"github.com/openslipway/slipway/internal/gateway"
)

// counts returns the recorded counts by name and error code.
func (b *bench) counts(body string) map[string]float64 {
	b.Helper()
	list, records := b.events(body)
	got := map[string]float64{}
	for i, r := range records {
		n := 1.0
		if more, ok := r["additionalEventData"].(map[string]any); ok {
			n = more["count"].(float64)
		}
		code, _ := r["errorCode"].(string)
		got[fmt.Sprint(list[i]["EventName"], " ", list[i]["Username"], " ", code)] += n
	}
	return got
}

func wantCounts(t *testing.T, got, want map[string]float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("counted %v, want %v", got, want)
	}
	for k, n := range want {
		if got[k] != n {
			t.Errorf("%q was counted %v times, want %v: %v", k, got[k], n, got)
		}
	}
}

// Reads of secrets are counted, in one record an hour; the record does not hold the
// secret, and does not push out others.
func TestReadsOfSecretsAreCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for range 20 {
		b.OK("secretsmanager.GetSecret", `{"Name":"shop","Note":"hush"}`)
	}
	wantCounts(t, b.counts(`{}`), map[string]float64{"GetSecret root ": 20})
	if n := len(b.OK(lookup, `{"LookupAttributes":[{"AttributeKey":"ReadOnly","AttributeValue":"true"}]}`)["Events"].([]any)); n != 1 {
		t.Errorf("%d records that only read, want 1", n)
	}
	b.Clock.Advance(time.Hour)
	b.OK("secretsmanager.GetSecret", `{"Name":"shop"}`)
	if list, _ := b.events(`{}`); len(list) != 2 {
		t.Errorf("%d records after an hour, want 2", len(list))
	}
	b.Hides("hush")
}

// Wrong signatures are counted: for a known key by its owner, for others in one record,
// whatever they name.
func TestWrongSignaturesAreCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	send := func(keyID string) {
		r := b.Request("secretsmanager.GetSecret", `{"Name":"shop"}`)
		auth := r.Header.Get("Authorization")
		auth = strings.Replace(auth, b.Key.ID, keyID, 1)
		r.Header.Set("Authorization", auth[:len(auth)-8]+"00000000")
		if w := b.Send(r); w.Code == http.StatusOK {
			t.Fatal("a wrong signature was accepted")
		}
	}
	for i := range 30 {
		send(fmt.Sprintf("AKIANOBODY%010d", i))
		if i%3 == 0 {
			send(b.Key.ID)
		}
	}
	list, records := b.events(`{}`)
	wantCounts(t, b.counts(`{}`), map[string]float64{
		"RefuseSignature root InvalidSignatureException": 10, "RefuseSignature  UnrecognizedClientException": 30,
	})
	for i, r := range records {
		if list[i]["Username"] == "" && strings.Contains(fmt.Sprint(r), "AKIANOBODY") {
			t.Errorf("the record holds what an attacker chose: %v", r)
		}
	}
}

// Occurrences that differ without end share a record, and changes keep one each.
func TestCountsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	caller := gateway.Caller{User: "ann", KeyID: "AKIAANN"}
	for i := range 3000 {
		b.trail.Count(t.Context(), audit.Occurrence{Caller: caller, Name: "GetSecretValue", Source: "s", Code: "AccessDeniedException", Resources: []string{fmt.Sprintf("arn:aws:secretsmanager:r:a:secret:%d", i)}})
	}
	got := b.counts(`{"LookupAttributes":[{"AttributeKey":"Username","AttributeValue":"ann"}]}`)
	if got["GetSecretValue ann AccessDenied"] == 0 {
		t.Errorf("counted %v", got)
	}
	wantCounts(t, b.counts(`{"LookupAttributes":[{"AttributeKey":"Username","AttributeValue":"nobody"}]}`), nil)
	b.trail.Happened(t.Context(), audit.Occurrence{Caller: caller, Name: "PutImage", Source: "ecr.amazonaws.com", Parameters: map[string]any{"reference": "1"}})
	b.trail.Happened(t.Context(), audit.Occurrence{Caller: caller, Name: "PutImage", Source: "ecr.amazonaws.com", Parameters: map[string]any{"reference": "2"}})
	wantCounts(t, b.counts(`{"LookupAttributes":[{"AttributeKey":"EventName","AttributeValue":"PutImage"}]}`), map[string]float64{"PutImage ann ": 2})
}

// A user who pushes in a loop fills neither the trail nor hides their own records: after
// 100 in an hour, pushes are counted for each repository.
func TestChangesInALoopAreCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	push := func(user, repository string) {
		c := gateway.Caller{User: user, KeyID: "AKIA", ARN: gateway.UserARN("000000000000", "/", user)}
		b.trail.Happened(t.Context(), audit.Occurrence{
			Caller: c, Source: "ecr.amazonaws.com", Name: "PutImage", Resources: []string{"arn:aws:ecr:us-east-1:000000000000:repository/" + repository},
		})
	}
	records := func(user string) (n int) {
		for token := ""; ; {
			doc := b.OK(lookup, `{"LookupAttributes":[{"AttributeKey":"Username","AttributeValue":"`+user+`"}]`+token+`}`)
			for _, e := range doc["Events"].([]any) {
				if e.(map[string]any)["ReadOnly"] != "false" {
					t.Errorf("a change is shown as a read: %v", e)
				}
				n++
			}
			next, more := doc["NextToken"].(string)
			if !more {
				return n
			}
			token = `,"NextToken":"` + next + `"`
		}
	}
	for range 300 {
		push("mallory", "a")
	}
	push("mallory", "b")
	push("ann", "a")
	if m, a := records("mallory"), records("ann"); m != 102 || a != 1 {
		t.Errorf("%d records of 301 pushes, and %d of another's, want 102 and 1", m, a)
	}
	b.Clock.Advance(time.Hour)
	push("mallory", "a")
	if m := records("mallory"); m != 103 {
		t.Errorf("%d records after an hour, want 103", m)
	}
}
