package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestStreamsPages(t *testing.T) {
	t.Parallel()
	var orders []any
	c := newTestClient(t, calls{"DescribeLogStreams": func(in map[string]any) any {
		orders = append(orders, in["orderBy"])
		if in["nextToken"] == nil {
			return `{"logStreams":[{"logStreamName":"instance/a","lastEventTimestamp":5}],"nextToken":"t"}`
		}
		return `{"logStreams":[{"logStreamName":"instance/b"}]}`
	}})
	got, err := c.Logs.Streams(t.Context(), "g", "")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Stream{{Name: "instance/a", LastAt: 5}, {Name: "instance/b"}}, got); diff != "" {
		t.Errorf("streams (-want +got):\n%s", diff)
	}
	if _, err := c.Logs.Streams(t.Context(), "g", "instance/"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{"LastEventTime", "LastEventTime", nil, nil}, orders); diff != "" {
		t.Errorf("orders, which CloudWatch Logs refuses together with a prefix (-want +got):\n%s", diff)
	}
}

func TestLogsErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reply fault
		says  string // "" for no error
	}{
		{fault{400, `{"__type":"ResourceNotFoundException","message":"no group"}`}, ""},
		{fault{400, `{"__type":"ns#InvalidParameterException","message":"bad"}`}, "InvalidParameterException: bad"},
		{fault{502, "<html>"}, "HTTP 502: <html>"},
		{fault{200, "<html>"}, "an unexpected form"},
	} {
		c := newTestClient(t, calls{"GetLogEvents": func(map[string]any) any { return tc.reply }})
		lines, err := c.Logs.Tail(t.Context(), "g", "s", 5)
		if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) || len(lines) != 0 {
			t.Errorf("%v: %v, %v", tc.reply, lines, err)
		}
	}
}

// A reply may have fewer lines than requested although there are more.
func TestTailPages(t *testing.T) {
	t.Parallel()
	pages := map[any]string{
		nil:   `{"events":[{"timestamp":4,"message":"d"},{"timestamp":5,"message":"e"}],"nextBackwardToken":"b/2"}`,
		"b/2": `{"events":[{"timestamp":3,"message":"c"}],"nextBackwardToken":"b/1"}`,
		"b/1": `{"events":[{"timestamp":1,"message":"a"},{"timestamp":2,"message":"b"}],"nextBackwardToken":"b/0"}`,
		"b/0": `{"events":[],"nextBackwardToken":"b/0"}`,
	}
	var limits []any
	c := newTestClient(t, calls{"GetLogEvents": func(in map[string]any) any {
		limits = append(limits, in["limit"])
		return pages[in["nextToken"]]
	}})
	for n, want := range map[int]string{3: "cde", 2: "de", 100: "abcde"} {
		got, err := c.Logs.Tail(t.Context(), "g", "s", n)
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, e := range got {
			text += e.Message
		}
		if text != want {
			t.Errorf("the last %d lines are %q, want %q", n, text, want)
		}
		if last := limits[len(limits)-1]; last == float64(0) || limits[0] != float64(n) {
			t.Errorf("%d lines were asked for with limits %v", n, limits)
		}
		limits = nil
	}
}

// FuzzLogsError feeds replies that no server should send.
func FuzzLogsError(f *testing.F) {
	f.Add(400, []byte(`{"__type":"a#b","message":"c"}`))
	f.Add(500, []byte(`{"__type":1}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if err := callError(status, body); err == nil {
			t.Error("no error")
		}
	})
}

func TestLastMergesStreams(t *testing.T) {
	t.Parallel()
	c := newTestClient(t, calls{
		"DescribeLogStreams": func(map[string]any) any {
			return `{"logStreams":[{"logStreamName":"i/a","lastEventTimestamp":1},{"logStreamName":"i/b","lastEventTimestamp":9}]}`
		},
		"GetLogEvents": func(in map[string]any) any {
			if in["startFromHead"] != false || in["limit"] != float64(3) {
				return fmt.Errorf("unexpected %v", in)
			}
			if in["logStreamName"] == "i/a" {
				return `{"events":[{"timestamp":1,"message":"a1"},{"timestamp":4,"message":"a4"}]}`
			}
			return `{"events":[{"timestamp":2,"message":"b2"},{"timestamp":3,"message":"b3"}]}`
		},
	})
	got, err := c.Logs.Last(t.Context(), Selection{Group: "g"}, 3)
	if err != nil {
		t.Fatal(err)
	}
	want := []LogEvent{{Stream: "i/b", Timestamp: 2, Message: "b2"}, {Stream: "i/b", Timestamp: 3, Message: "b3"}, {Stream: "i/a", Timestamp: 4, Message: "a4"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// journal is a log that grows.
type journal struct {
	mu    sync.Mutex
	away  bool
	lines []LogEvent
}

func (j *journal) filter(in map[string]any) any {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.away {
		return errors.New("connection refused")
	}
	start, _ := in["startTime"].(float64)
	var out struct {
		Events []LogEvent `json:"events"`
	}
	for _, e := range j.lines {
		if e.Timestamp >= int64(start) {
			out.Events = append(out.Events, e)
		}
	}
	b, err := json.Marshal(out)
	if err != nil {
		return err
	}
	return string(b)
}

// TestFollowShowsEachLineOnce writes lines in bursts, several in one millisecond and
// some of them equal, to streams that lag behind each other by less than the
// overlap.
func TestFollowShowsEachLineOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			j := &journal{}
			c := newTestClient(t, calls{"FilterLogEvents": j.filter, "DescribeService": func(map[string]any) any { return `{"Service":{"Status":"RUNNING"}}` }})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var got []string
			var missed int
			done := make(chan error)
			go func() {
				_, err := c.FollowLogs(ctx, testARN, []*Source{{Selection: Selection{Group: "g"}}}, time.Now(), func(e LogEvent) error {
					got = append(got, e.Stream+e.Message)
					return nil
				}, func(error) { missed++ })
				done <- err
			}()
			var want []string
			for range 200 {
				time.Sleep(time.Duration(random.IntN(700)) * time.Millisecond)
				synctest.Wait()
				j.mu.Lock()
				j.away = random.IntN(10) == 0
				for range random.IntN(4) {
					at := time.Now().UnixMilli()
					stream := "s" + fmt.Sprint(random.IntN(3))
					if len(want) > 0 && stream == "s2" { // the one that lags
						at -= int64(random.IntN(4000))
					}
					e := LogEvent{Stream: stream, Timestamp: max(at, 0), Message: fmt.Sprint(random.IntN(3))}
					j.lines = append(j.lines, e)
					want = append(want, e.Stream+e.Message)
				}
				j.mu.Unlock()
			}
			j.mu.Lock()
			j.away = false
			j.mu.Unlock()
			time.Sleep(2 * followEvery)
			synctest.Wait()
			cancel()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			slices.Sort(got)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("seed %d: lines (-want +got):\n%s", seed, diff)
			}
			if missed == 0 {
				t.Error("the server was never seen away")
			}
		})
	}
}

// A followed log ends with its service, after the last lines.
func TestFollowEndsWithItsService(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]any{
		"deleted":   `{"Service":{"Status":"DELETED"}}`,
		"forgotten": fault{400, `{"__type":"ResourceNotFoundException","Message":"Service not found"}`},
	} {
		synctest.Test(t, func(t *testing.T) {
			var answer any = `{"Service":{"Status":"RUNNING"}}`
			j := &journal{}
			c := newTestClient(t, calls{"FilterLogEvents": j.filter, "DescribeService": func(map[string]any) any {
				j.mu.Lock()
				defer j.mu.Unlock()
				return answer
			}})
			var got []string
			time.AfterFunc(time.Minute, func() {
				j.mu.Lock()
				defer j.mu.Unlock()
				j.lines = append(j.lines, LogEvent{Stream: "s", Timestamp: time.Now().UnixMilli(), Message: "last"})
				answer = reply
			})
			deleted, err := c.FollowLogs(t.Context(), testARN, []*Source{{Selection: Selection{Group: "g"}}}, time.Now(), func(e LogEvent) error {
				got = append(got, e.Message)
				return nil
			}, func(error) {})
			if err != nil || !deleted || !slices.Equal(got, []string{"last"}) {
				t.Errorf("%s: deleted %t, %v; read %q", name, deleted, err, got)
			}
		})
	}
}
