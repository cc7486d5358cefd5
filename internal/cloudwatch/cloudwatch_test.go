package cloudwatch_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/cloudwatch"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
	"github.com/openslipway/slipway/internal/logs"
	"github.com/openslipway/slipway/internal/store"
)

// memory is an Output in memory: lines in order of time, then of stream.
type memory struct {
	service string
	lines   []logs.Line
	err     error
	read    func() // called after lines were read; nil for nothing
}

func (m *memory) Streams(service string) ([]logs.StreamInfo, error) {
	var list []logs.StreamInfo
	if service != m.service {
		return nil, m.err
	}
	for _, l := range m.lines {
		i := slices.IndexFunc(list, func(s logs.StreamInfo) bool { return s.Name == l.Stream })
		if i < 0 {
			i, list = len(list), append(list, logs.StreamInfo{Name: l.Stream, First: l.At})
		}
		list[i].Last = l.At
	}
	slices.SortFunc(list, func(a, b logs.StreamInfo) int { return strings.Compare(a.Name, b.Name) })
	return list, m.err
}

func (m *memory) Read(_ context.Context, q logs.Query) iter.Seq2[logs.Line, error] {
	return func(yield func(logs.Line, error) bool) {
		if m.err != nil {
			yield(logs.Line{}, m.err)
			return
		}
		var found []logs.Line
		for _, l := range m.lines {
			if q.Service == m.service && (q.Stream == "" || q.Stream == l.Stream) && strings.HasPrefix(l.Stream, q.Prefix) &&
				!l.At.Before(q.Since) && (q.Until.IsZero() || l.At.Before(q.Until)) {
				found = append(found, l)
			}
		}
		if q.Tail > 0 && len(found) > q.Tail {
			found = found[len(found)-q.Tail:]
		}
		if q.Limit > 0 && len(found) > q.Limit {
			found = found[:q.Limit]
		}
		for _, l := range found {
			if !yield(l, nil) {
				return
			}
		}
		if m.read != nil {
			m.read()
		}
	}
}

// add appends a line n nanoseconds after the beginning of the tests' time.
func (m *memory) add(stream string, n int, text string) {
	m.lines = append(m.lines, logs.Line{Stream: stream, At: gatewaytest.T0.Add(time.Duration(n)), Text: text})
}

// logBench is a bench with one service that has events and output.
type logBench struct {
	*gatewaytest.Bench
	output *memory
	group  string // up to its kind
}

// openBench returns a bench without services. output has the lines of instances.
func openBench(t testing.TB, output cloudwatch.Output) *gatewaytest.Bench {
	t.Helper()
	b := gatewaytest.New(t)
	l, err := cloudwatch.New(cloudwatch.Config{Store: b.Store, Region: gatewaytest.Region, Account: gatewaytest.Account, Output: output})
	if err != nil {
		t.Fatal(err)
	}
	b.Open([]gateway.Service{l.Service()})
	return b
}

// create adds a running service and returns its id.
func create(b *gatewaytest.Bench, name string) string {
	b.Helper()
	id := slipway.NewID()
	b.Update(func(tx *store.Tx) error {
		return tx.InsertService(slipway.Service{
			ID: id, Name: name, ARN: "arn:" + id, Label: id, Wanted: slipway.WantedRunning, Status: slipway.StatusRunning,
			CreatedAt: b.Clock.Now(), UpdatedAt: b.Clock.Now(),
		})
	})
	return id
}

func newLogBench(t testing.TB) logBench {
	t.Helper()
	m := &memory{}
	b := logBench{openBench(t, m), m, ""}
	id := create(b.Bench, "shop")
	m.service, b.group = id, "/aws/apprunner/shop/"+id+"/"
	b.Update(func(tx *store.Tx) error {
		for i, e := range []struct{ stream, text string }{
			{"events", "Service creation started."}, {"deployment/1", "Pulling image."}, {"events", "Service creation completed successfully."},
		} {
			if err := tx.InsertEvent(slipway.Event{ServiceID: id, Stream: e.stream, At: gatewaytest.T0.Add(time.Duration(i) * time.Second), Text: e.text}); err != nil {
				return err
			}
		}
		return nil
	})
	return b
}

func (b logBench) logs(operation, body string) map[string]any {
	b.Helper()
	w := b.Send(b.Request("Logs_20140328."+operation, body))
	if w.Code != http.StatusOK {
		b.Fatalf("%s %s: %d %s", operation, body, w.Code, w.Body)
	}
	return w.Doc
}

func (b logBench) logsRefused(operation, body, exception, message string) {
	b.Helper()
	w := b.Send(b.Request("Logs_20140328."+operation, body))
	if w.Code != 400 || w.Doc["__type"] != exception || !strings.Contains(w.Doc["Message"].(string), message) {
		b.Errorf("%s %s:\n got %d %s\nwant %s with %q", operation, body, w.Code, w.Body, exception, message)
	}
}

// texts returns the messages of a reply's events.
func texts(doc map[string]any) []string {
	list := []string{}
	for _, e := range doc["events"].([]any) {
		list = append(list, e.(map[string]any)["message"].(string))
	}
	return list
}

func (b logBench) in(kind string, members ...string) string {
	return `{` + strings.Join(append([]string{`"logGroupName":"` + b.group + kind + `"`}, members...), ",") + `}`
}

func TestDescribeLogGroups(t *testing.T) {
	t.Parallel()
	b := newLogBench(t)
	create(b.Bench, "cart")
	names := func(doc map[string]any) (list []string) {
		for _, g := range doc["logGroups"].([]any) {
			parts := strings.Split(g.(map[string]any)["logGroupName"].(string), "/")
			list = append(list, parts[3]+"/"+parts[5])
		}
		return list
	}
	all := []string{"cart/application", "cart/service", "shop/application", "shop/service"}
	doc := b.logs("DescribeLogGroups", `{}`)
	if got := names(doc); !slices.Equal(got, all) {
		t.Errorf("groups %v, want %v", got, all)
	}
	last := doc["logGroups"].([]any)[3].(map[string]any)
	if last["arn"] != "arn:aws:logs:us-east-1:000000000000:log-group:"+b.group+"service:*" || last["creationTime"] != 1800000000123.0 {
		t.Errorf("a group is described as %v", last)
	}
	if got := names(b.logs("DescribeLogGroups", `{"logGroupNamePrefix":"/aws/apprunner/shop"}`)); !slices.Equal(got, all[2:]) {
		t.Errorf("groups by prefix: %v", got)
	}
	if got := names(b.logs("DescribeLogGroups", `{"logGroupNamePattern":"/service"}`)); !slices.Equal(got, []string{all[1], all[3]}) {
		t.Errorf("groups by pattern: %v", got)
	}
	var paged []string
	token := ""
	for {
		doc := b.logs("DescribeLogGroups", `{"limit":1`+token+`}`)
		paged = append(paged, names(doc)...)
		next, ok := doc["nextToken"].(string)
		if !ok {
			break
		}
		token = `,"nextToken":"` + next + `"`
	}
	if !slices.Equal(paged, all) {
		t.Errorf("groups by pages: %v", paged)
	}
}

func TestDescribeLogStreams(t *testing.T) {
	t.Parallel()
	b := newLogBench(t)
	b.output.add("instance/b", 1e9, "first")
	b.output.add("instance/c", 2e9, "second")
	b.output.add("instance/a", 3e9, "third")
	b.output.add("instance/b", 4e9, "fourth")
	names := func(doc map[string]any) (list []string) {
		for _, g := range doc["logStreams"].([]any) {
			list = append(list, g.(map[string]any)["logStreamName"].(string))
		}
		return list
	}
	for body, want := range map[string][]string{
		b.in("service"):                                                    {"deployment/1", "events"},
		b.in("service", `"descending":true`):                               {"events", "deployment/1"},
		b.in("service", `"logStreamNamePrefix":"deployment/"`):             {"deployment/1"},
		b.in("application"):                                                {"instance/a", "instance/b", "instance/c"},
		b.in("application", `"orderBy":"LastEventTime"`):                   {"instance/c", "instance/a", "instance/b"},
		b.in("application", `"orderBy":"LastEventTime","descending":true`): {"instance/b", "instance/a", "instance/c"},
		`{"logGroupIdentifier":"` + b.group + `service"}`:                  {"deployment/1", "events"},
		`{"logGroupIdentifier":"arn:aws:logs:us-east-1:000000000000:log-group:` + b.group + `service"}`: {"deployment/1", "events"},
	} {
		if got := names(b.logs("DescribeLogStreams", body)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", body, got, want)
		}
	}
	s := b.logs("DescribeLogStreams", b.in("application", `"logStreamNamePrefix":"instance/b"`))["logStreams"].([]any)[0].(map[string]any)
	if s["firstEventTimestamp"] != 1800000001123.0 || s["lastEventTimestamp"] != 1800000004123.0 || !strings.HasSuffix(s["arn"].(string), ":log-stream:instance/b") {
		t.Errorf("a stream is described as %v", s)
	}
	for _, order := range []string{`"descending":false`, `"descending":true`, `"orderBy":"LastEventTime","descending":true`} {
		var paged []string
		token := ""
		for {
			doc := b.logs("DescribeLogStreams", b.in("application", order, `"limit":1`+token))
			paged = append(paged, names(doc)...)
			next, ok := doc["nextToken"].(string)
			if !ok {
				break
			}
			token = `,"nextToken":"` + next + `"`
		}
		if want := names(b.logs("DescribeLogStreams", b.in("application", order))); !slices.Equal(paged, want) {
			t.Errorf("streams by pages: %v, want %v", paged, want)
		}
	}
}

func TestGetLogEvents(t *testing.T) {
	t.Parallel()
	b := newLogBench(t)
	stream := `"logStreamName":"events"`
	doc := b.logs("GetLogEvents", b.in("service", stream))
	want := []string{"[AppRunner] Service creation started.", "[AppRunner] Service creation completed successfully."}
	if got := texts(doc); !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
	if e := doc["events"].([]any)[1].(map[string]any); e["timestamp"] != 1800000002123.0 || e["ingestionTime"] != 1800000002123.0 || len(e) != 3 {
		t.Errorf("an event is %v", e)
	}
	for members, want := range map[string][]string{
		`"startTime":1800000000124`:              want[1:],
		`"endTime":1800000002123`:                want[:1],
		`"startTime":1800000000123,"endTime":1`:  {},
		`"startTime":9223372036854775807`:        {},
		`"endTime":0`:                            {},
		`"limit":1`:                              want[1:],
		`"limit":1,"startFromHead":true`:         want[:1],
		`"startTime":-5,"endTime":1900000000000`: want,
		`"startFromHead":true,"startTime":1800000001000,"endTime":1800000003000`: want[1:],
	} {
		if got := texts(b.logs("GetLogEvents", b.in("service", stream, members))); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", members, got, want)
		}
	}
}

// For all page sizes and numbers of lines with the same time, reading in either
// direction returns every line once, and the token does not change at the end.
func TestGetLogEventsPages(t *testing.T) {
	t.Parallel()
	b := newLogBench(t)
	r := rand.New(rand.NewPCG(1, 2))
	var want []string
	for i, at := 0, 0; i < 60; i++ {
		at += r.IntN(3) * r.IntN(1_000_000)
		want = append(want, fmt.Sprint(i))
		b.output.add("instance/a", at, want[i])
		b.output.add("instance/b", at, "other")
	}
	get := func(members ...string) map[string]any {
		return b.logs("GetLogEvents", b.in("application", append(members, `"logStreamName":"instance/a"`)...))
	}
	for _, limit := range []int{1, 2, 3, 7, 59, 60, 61} {
		limited := fmt.Sprintf(`"limit":%d`, limit)
		var forward, backward []string
		for doc, token := get(limited, `"startFromHead":true`), ""; ; {
			forward = append(forward, texts(doc)...)
			next := doc["nextForwardToken"].(string)
			if len(texts(doc)) == 0 {
				if next != token {
					t.Errorf("at the end the token changes from %s to %s", token, next)
				}
				break
			}
			if token = next; len(forward)+len(backward) > 3*len(want) {
				t.Fatalf("by %d: pages do not end", limit)
			}
			doc = get(limited, `"nextToken":"`+token+`"`)
		}
		for doc, token := get(limited), ""; ; {
			backward = append(slices.Clone(texts(doc)), backward...)
			next := doc["nextBackwardToken"].(string)
			if len(texts(doc)) == 0 {
				if next != token {
					t.Errorf("at the beginning the token changes from %s to %s", token, next)
				}
				break
			}
			if token = next; len(forward)+len(backward) > 3*len(want) {
				t.Fatalf("by %d: pages do not end", limit)
			}
			doc = get(limited, `"nextToken":"`+token+`"`)
		}
		if !slices.Equal(forward, want) {
			t.Errorf("forward by %d: %v", limit, forward)
		}
		if !slices.Equal(backward, want) {
			t.Errorf("backward by %d: %v", limit, backward)
		}
	}
	// Reading in the other direction returns the same page.
	page := get(`"limit":7`)
	older := get(`"limit":7`, `"nextToken":"`+page["nextBackwardToken"].(string)+`"`)
	again := get(`"limit":7`, `"nextToken":"`+older["nextForwardToken"].(string)+`"`)
	if !slices.Equal(texts(again), texts(page)) {
		t.Errorf("back and forth: %v, then %v", texts(page), texts(again))
	}
}

// The token at the end reads lines that are written later.
func TestGetLogEventsFollows(t *testing.T) {
	t.Parallel()
	b := newLogBench(t)
	b.output.add("instance/a", 5, "one")
	get := func(token string) map[string]any {
		return b.logs("GetLogEvents", b.in("application", `"logStreamName":"instance/a"`, token))
	}
	doc := get(`"limit":10`)
	b.output.add("instance/a", 5, "same time")
	b.output.add("instance/a", 6, "later")
	if got := texts(get(`"nextToken":"` + doc["nextForwardToken"].(string) + `"`)); !slices.Equal(got, []string{"same time", "later"}) {
		t.Errorf("after the end came %v", got)
	}
	empty := get(fmt.Sprintf(`"startTime":%d`, gatewaytest.T0.UnixMilli()+10))
	b.output.add("instance/a", 20e6, "much later")
	if got := texts(get(`"nextToken":"` + empty["nextForwardToken"].(string) + `"`)); !slices.Equal(got, []string{"much later"}) {
		t.Errorf("after nothing came %v", got)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	b := newLogBench(t)
	for i := range 200 {
		b.output.add("instance/a", i, strings.Repeat("x", 16<<10-3)+fmt.Sprintf("%03d", i))
	}
	tail := func(list []string) string { return list[0][16<<10-3:] + "-" + list[len(list)-1][16<<10-3:] }
	for body, want := range map[string]string{
		b.in("application", `"logStreamName":"instance/a"`):                      "136-199",
		b.in("application", `"logStreamName":"instance/a","startFromHead":true`): "000-063",
	} {
		if got := texts(b.logs("GetLogEvents", body)); tail(got) != want {
			t.Errorf("%s: lines %s, want %s", body, tail(got), want)
		}
	}
	doc := b.logs("FilterLogEvents", b.in("application"))
	if got := texts(doc); tail(got) != "000-063" || doc["nextToken"] == nil {
		t.Errorf("FilterLogEvents answers lines %s and token %v", tail(got), doc["nextToken"])
	}
}

func TestFilterLogEvents(t *testing.T) {
	t.Parallel()
	b := newLogBench(t)
	b.output.add("instance/a", 0, "GET /cart 200")
	b.output.add("instance/b", 0, "GET /shop 500")
	b.output.add("instance/b", 1e6, "a \xff byte\x1b[31m")
	b.output.add("instance/c", 2e6, "POST /cart 500")
	for members, want := range map[string][]string{
		`"limit":100`:                                  {"GET /cart 200", "GET /shop 500", "a \uFFFD byte\x1b[31m", "POST /cart 500"},
		`"logStreamNames":["instance/b"]`:              {"GET /shop 500", "a \uFFFD byte\x1b[31m"},
		`"logStreamNames":["instance/a","instance/c"]`: {"GET /cart 200", "POST /cart 500"},
		`"logStreamNamePrefix":"instance/a"`:           {"GET /cart 200"},
		`"filterPattern":"500"`:                        {"GET /shop 500", "POST /cart 500"},
		`"filterPattern":"GET 500"`:                    {"GET /shop 500"},
		`"filterPattern":"  \"/cart 5\" "`:             {"POST /cart 500"},
		`"filterPattern":"500 -POST"`:                  {"GET /shop 500"},
		`"filterPattern":"-GET -POST"`:                 {"a \uFFFD byte\x1b[31m"},
		`"filterPattern":"?shop ?POST"`:                {"GET /shop 500", "POST /cart 500"},
		`"filterPattern":"?shop POST"`:                 {"POST /cart 500"},
		`"startTime":1800000000124`:                    {"a \uFFFD byte\x1b[31m", "POST /cart 500"},
		`"endTime":1800000000124`:                      {"GET /cart 200", "GET /shop 500", "a \uFFFD byte\x1b[31m"},
		`"startTime":1800000000125,"interleaved":true`: {"POST /cart 500"},
	} {
		if got := texts(b.logs("FilterLogEvents", b.in("application", members))); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", members, got, want)
		}
	}
	e := b.logs("FilterLogEvents", b.in("application"))["events"].([]any)[1].(map[string]any)
	if e["logStreamName"] != "instance/b" || e["timestamp"] != 1800000000123.0 || len(e["eventId"].(string)) != 36 {
		t.Errorf("an event is %v", e)
	}
	if got := texts(b.logs("FilterLogEvents", b.in("service"))); !slices.Equal(got, []string{
		"[AppRunner] Service creation started.", "[AppRunner] Pulling image.", "[AppRunner] Service creation completed successfully.",
	}) {
		t.Errorf("the service's lines: %q", got)
	}
}

// Pages of the merged streams return every line once, with a stable id.
func TestFilterLogEventsPages(t *testing.T) {
	t.Parallel()
	b := newLogBench(t)
	r := rand.New(rand.NewPCG(3, 4))
	for i, at := 0, 0; i < 80; i++ {
		at += r.IntN(2) * r.IntN(1000)
		b.output.add(fmt.Sprintf("instance/%d", i%3), at, fmt.Sprintf("%d %s", i, []string{"even", "odd"}[i%2]))
	}
	slices.SortStableFunc(b.output.lines, func(a, b logs.Line) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return strings.Compare(a.Stream, b.Stream)
	})
	ids := func(doc map[string]any) (list []string) {
		for _, e := range doc["events"].([]any) {
			list = append(list, e.(map[string]any)["eventId"].(string))
		}
		return list
	}
	for _, members := range []string{`"startTime":1`, `"filterPattern":"odd"`, `"logStreamNames":["instance/0","instance/2"]`} {
		whole := b.logs("FilterLogEvents", b.in("application", members))
		if n := len(slices.Compact(slices.Sorted(slices.Values(ids(whole))))); n != len(texts(whole)) || n < 40 {
			t.Fatalf("%s: %d lines have %d ids", members, len(texts(whole)), n)
		}
		for _, limit := range []int{1, 3, 10, 79, 80} {
			var gotTexts, gotIDs []string
			token := ""
			for {
				doc := b.logs("FilterLogEvents", b.in("application", members, fmt.Sprintf(`"limit":%d%s`, limit, token)))
				gotTexts, gotIDs = append(gotTexts, texts(doc)...), append(gotIDs, ids(doc)...)
				next, ok := doc["nextToken"].(string)
				if !ok {
					break
				}
				token = `,"nextToken":"` + next + `"`
			}
			if !slices.Equal(gotTexts, texts(whole)) || !slices.Equal(gotIDs, ids(whole)) {
				t.Errorf("%s by %d: %v", members, limit, gotTexts)
			}
		}
	}
}

// A call that finds nothing among very many lines ends, with a token to continue.
func TestFilterLogEventsIsBounded(t *testing.T) {
	t.Parallel()
	b := newLogBench(t)
	for i := range 200_000 {
		b.output.add("instance/a", i, "x")
	}
	b.output.add("instance/a", 1e9, "needle")
	doc := b.logs("FilterLogEvents", b.in("application", `"filterPattern":"needle"`))
	if len(texts(doc)) != 0 || doc["nextToken"] == nil {
		t.Fatalf("the first answer has %d lines and the token %v", len(texts(doc)), doc["nextToken"])
	}
	doc = b.logs("FilterLogEvents", b.in("application", `"filterPattern":"needle","nextToken":"`+doc["nextToken"].(string)+`"`))
	if !slices.Equal(texts(doc), []string{"needle"}) || doc["nextToken"] != nil {
		t.Errorf("the second answer has %v and the token %v", texts(doc), doc["nextToken"])
	}
}

func TestLogsRefuse(t *testing.T) {
	t.Parallel()
	b := newLogBench(t)
	const missing = "ResourceNotFoundException"
	for _, group := range []string{
		"x", "/aws/apprunner/shop", b.group, b.group + "other", strings.Replace(b.group, "shop", "cart", 1) + "service",
		"/aws/apprunner/shop/0f3c6f2f5a7b4c0e9d1e2a3b4c5d6e7f/service", "/aws/lambda/" + b.group + "service",
	} {
		body := `{"logGroupName":"` + group + `","logStreamName":"events"}`
		for _, op := range []string{"DescribeLogStreams", "GetLogEvents", "FilterLogEvents"} {
			b.logsRefused(op, body, missing, "The specified log group does not exist.")
		}
	}
	b.logsRefused("GetLogEvents", b.in("service", `"logStreamName":"none"`), missing, "The specified log stream does not exist.")
	b.logsRefused("FilterLogEvents", b.in("service", `"logStreamNames":["events","none"]`), missing, "The specified log stream does not exist.")
	const invalid = "InvalidParameterException"
	for _, c := range []struct{ operation, body, message string }{
		{"DescribeLogStreams", `{}`, "Value null at 'logGroupName'"},
		{"GetLogEvents", b.in("service"), "Value null at 'logStreamName'"},
		{"GetLogEvents", b.in("service", `"logStreamName":"events","limit":10001`), "less than or equal to 10000"},
		{"GetLogEvents", b.in("service", `"logStreamName":"events","limit":0`), "greater than or equal to 1"},
		{"DescribeLogStreams", b.in("service", `"limit":51`), "less than or equal to 50"},
		{"DescribeLogGroups", `{"limit":51}`, "less than or equal to 50"},
		{"DescribeLogGroups", `{"logGroupNamePrefix":"a","logGroupNamePattern":"b"}`, "Only one of"},
		{"DescribeLogStreams", b.in("service", `"orderBy":"Size"`), "enum value set: [LogStreamName, LastEventTime]"},
		{"DescribeLogStreams", b.in("service", `"orderBy":"LastEventTime","logStreamNamePrefix":"e"`), "Cannot order by LastEventTime"},
		{"FilterLogEvents", b.in("service", `"logStreamNames":["a"],"logStreamNamePrefix":"a"`), "Only one of"},
		{"FilterLogEvents", b.in("service", `"filterPattern":"{ $.a = 1 }"`), "only terms are supported"},
		{"FilterLogEvents", b.in("service", `"filterPattern":"\"open"`), "quotation mark is not closed"},
	} {
		b.logsRefused(c.operation, c.body, invalid, c.message)
	}
	for _, token := range []string{"x", "f", "f/1", "f/1/-1", "f/-1/1", "g/1/1", "f/1/1/1", "f/01/1", "b/99999999999999999999/1"} {
		b.logsRefused("GetLogEvents", b.in("service", `"logStreamName":"events","nextToken":"`+token+`"`), invalid, "The specified nextToken is invalid.")
	}
	for _, op := range []string{"DescribeLogGroups", "DescribeLogStreams", "FilterLogEvents"} {
		b.logsRefused(op, b.in("service", `"nextToken":"x"`), invalid, "The specified nextToken is invalid.")
	}
	b.logsRefused("FilterLogEvents", b.in("service", `"limit":"x"`), "SerializationException", "limit")
}

func TestOutputFails(t *testing.T) {
	t.Parallel()
	b := newLogBench(t)
	b.output.add("instance/a", 0, "x")
	b.output.err = errors.New("disk on fire")
	for _, op := range []string{"DescribeLogStreams", "GetLogEvents", "FilterLogEvents"} {
		w := b.Send(b.Request("Logs_20140328."+op, b.in("application", `"logStreamName":"instance/a"`)))
		if w.Code != 500 || w.Doc["__type"] != "InternalFailure" || strings.Contains(w.Body.String(), "fire") {
			t.Errorf("%s: %d %s", op, w.Code, w.Body)
		}
	}
	if !strings.Contains(b.Logged.String(), "disk on fire") {
		t.Error("the log does not tell the cause")
	}
}

func TestWithoutOutput(t *testing.T) {
	t.Parallel()
	b := openBench(t, nil)
	id := create(b, "shop")
	w := b.Send(b.Request("Logs_20140328.FilterLogEvents", `{"logGroupName":"/aws/apprunner/shop/`+id+`/application"}`))
	if w.Code != 200 || w.Body.String() != `{"events":[],"searchedLogStreams":[]}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// The AWS command line reads these logs as it reads CloudWatch's: version 2 with
// "logs tail", which asks FilterLogEvents.
func TestAWSLogsTail(t *testing.T) {
	t.Parallel()
	aws := awsVersion2(t)
	b := newLogBench(t)
	b.Clock.Advance(time.Since(gatewaytest.T0)) // the command line signs with the real time
	b.output.add("instance/a", int(time.Since(gatewaytest.T0)), "hello from the application")
	srv := httptest.NewServer(b.Handler)
	defer srv.Close()
	dir := t.TempDir()
	credentials := filepath.Join(dir, "credentials")
	if err := os.WriteFile(credentials, []byte("[default]\naws_access_key_id = "+b.Key.ID+"\naws_secret_access_key = "+b.Key.Secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), aws, "--region", gatewaytest.Region, "--endpoint-url", srv.URL, "logs", "tail", b.group+"application", "--since", "1d")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "AWS_SHARED_CREDENTIALS_FILE=" + credentials, "AWS_EC2_METADATA_DISABLED=true"}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "instance/a hello from the application") {
		t.Errorf("%v: %s", err, out)
	}
}

// awsVersion2 returns the program, or skips: version 1 has no "logs tail".
func awsVersion2(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"aws", "/usr/bin/aws"} {
		out, err := exec.CommandContext(t.Context(), name, "--version").CombinedOutput()
		if err == nil && strings.HasPrefix(string(out), "aws-cli/2") {
			return name
		}
	}
	t.Skip("version 2 of the AWS command line (Debian: awscli) is not installed")
	return ""
}

// The token can be continued with if lines are removed while they are read.
func TestLinesGoWhileRead(t *testing.T) {
	t.Parallel()
	b := newLogBench(t)
	b.output.add("instance/a", 0, "first")
	b.output.add("instance/a", 1, "second")
	b.output.read = func() { b.output.lines = b.output.lines[1:]; b.output.read = nil }
	page := b.logs("GetLogEvents", b.in("application", `"logStreamName":"instance/a"`))
	if n := len(page["events"].([]any)); n != 2 {
		t.Errorf("%d lines, want the 2 there were", n)
	}
	older := b.logs("GetLogEvents", b.in("application", `"logStreamName":"instance/a"`, `"nextToken":"`+page["nextBackwardToken"].(string)+`"`))
	if n := len(older["events"].([]any)); n != 0 {
		t.Errorf("%d lines before them", n)
	}
}
