package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-cmp/cmp"
)

// script is an operation that advances by one status with each ListOperations.
type script struct {
	statuses []any // a status, or an error for a server that does not answer
	asked    int
	lines    map[string]string // token → reply of GetLogEvents
}

func (s *script) calls() calls {
	return calls{
		"ListOperations": func(map[string]any) any {
			now := s.statuses[min(s.asked, len(s.statuses)-1)]
			s.asked++
			if err, ok := now.(error); ok {
				return err
			}
			return fmt.Sprintf(`{"OperationSummaryList":[{"Id":"op","Type":"PAUSE_SERVICE","Status":%q}]}`, now)
		},
		"DescribeLogStreams": func(in map[string]any) any {
			if in["logGroupName"] != "/aws/apprunner/shop/0123456789abcdef0123456789abcdef/service" {
				return fmt.Errorf("unexpected group %v", in["logGroupName"])
			}
			if s.asked < 2 { // the stream is created with the first line
				return `{"logStreams":[{"logStreamName":"events"}]}`
			}
			return `{"logStreams":[{"logStreamName":"events"},{"logStreamName":"pause/op"}]}`
		},
		"GetLogEvents": func(in map[string]any) any {
			if in["logStreamName"] != "pause/op" {
				return fmt.Errorf("unexpected stream %v", in["logStreamName"])
			}
			token, _ := in["nextToken"].(string)
			if reply, ok := s.lines[token]; ok {
				return reply
			}
			return fmt.Sprintf(`{"events":[],"nextForwardToken":%q}`, token)
		},
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		away := errors.New("connection refused")
		s := &script{
			statuses: []any{"PENDING", "IN_PROGRESS", away, away, "IN_PROGRESS", "SUCCEEDED"},
			lines: map[string]string{
				"": `{"events":[{"timestamp":1,"message":"a"}],"nextForwardToken":"1"}`,
				// The next poll finds the next lines in two pages.
				"1": `{"events":[{"timestamp":2,"message":"b"}],"nextForwardToken":"2"}`,
				"2": `{"events":[{"timestamp":3,"message":"c"}],"nextForwardToken":"3"}`,
			},
		}
		c := newTestClient(t, s.calls())
		var seen []string
		op, err := c.Follow(t.Context(), testARN, "op", func(s Update) {
			if s.Away != nil {
				seen = append(seen, "away")
				return
			}
			line := string(s.Operation.Status)
			for _, l := range s.Lines {
				line += " " + l.Message
			}
			seen = append(seen, line)
		})
		if err != nil {
			t.Fatal(err)
		}
		if op.Status != types.OperationStatusSucceeded {
			t.Errorf("ended %s", op.Status)
		}
		want := []string{"PENDING", "IN_PROGRESS a b c", "away", "IN_PROGRESS", "SUCCEEDED"}
		if diff := cmp.Diff(want, seen); diff != "" {
			t.Errorf("sights (-want +got):\n%s", diff)
		}
	})
}

func TestFollowGivesUpOnAServerThatStaysAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTestClient(t, (&script{statuses: []any{"IN_PROGRESS", errors.New("gone")}}).calls())
		begun := time.Now()
		_, err := c.Follow(t.Context(), testARN, "op", func(Update) {})
		if !Unreachable(err) {
			t.Errorf("error %v", err)
		}
		if waited := time.Since(begun); waited < patience || waited > patience+time.Minute {
			t.Errorf("gave up after %v", waited)
		}
	})
}

func TestFollowEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTestClient(t, (&script{statuses: []any{"IN_PROGRESS"}}).calls())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.Follow(ctx, testARN, "op", func(Update) {}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

func TestFollowRefusesAnUnknownOperation(t *testing.T) {
	t.Parallel()
	c := newTestClient(t, (&script{statuses: []any{"IN_PROGRESS"}}).calls())
	_, err := c.Follow(t.Context(), testARN, "other", func(Update) {})
	if err == nil || !strings.Contains(err.Error(), "other") {
		t.Errorf("error %v", err)
	}
}

func TestPickStream(t *testing.T) {
	t.Parallel()
	streams := []Stream{{Name: "events"}, {Name: "deployment/abc1"}, {Name: "pause/abc2"}, {Name: "resume/abc"}, {Name: "build/abc1"}}
	for id, want := range map[string]string{"abc1": "deployment/abc1", "abc": "resume/abc", "abc2": "pause/abc2", "x": "", "events": ""} {
		if got, err := pickStream(streams, id); got != want || err != nil {
			t.Errorf("pickStream(%q) = %q, %v; want %q", id, got, err, want)
		}
	}
	if _, err := pickStream(streams, "ab"); !errors.Is(err, errAmbiguous) || !strings.Contains(err.Error(), "deployment/abc1, pause/abc2") {
		t.Errorf("pickStream(ab): %v", err)
	}
}

func TestLogGroups(t *testing.T) {
	t.Parallel()
	if got := ApplicationLogGroup(testARN); got != "/aws/apprunner/shop/0123456789abcdef0123456789abcdef/application" {
		t.Errorf("application group %q", got)
	}
	if got := ServiceLogGroup("nonsense"); got != "" {
		t.Errorf("group of nonsense: %q", got)
	}
}
