package soak

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// count counts something by its outcome.
func (s *soak) count(what, outcome string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts[what] == nil {
		s.counts[what] = map[string]int{}
	}
	s.counts[what][outcome]++
}

// fail notes that something was wrong with a service, and tells its story. The service is left
// as it is then.
func (v *service) fail(format string, args ...any) {
	text := v.name + ": " + fmt.Sprintf(format, args...)
	v.note("WRONG: %s", text)
	v.mu.Lock()
	was := v.broken
	v.broken = true
	story, at := slices.Clone(v.story), v.life
	v.mu.Unlock()
	v.soak.mu.Lock()
	v.failed = append(v.failed, text)
	v.soak.mu.Unlock()
	if was {
		v.T.Error(text)
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nits story, up to now:\n", text)
	for _, line := range story[max(0, len(story)-60):] {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	if at != nil {
		events, _ := v.slipway("logs", at.arn, "--events", "--raw")
		fmt.Fprintf(&b, "it is %s\nits events:\n%s", at.arn, indent(last(events, 40)))
		id := at.arn[strings.LastIndexByte(at.arn, '/')+1:]
		fmt.Fprintf(&b, "what the server logged of it:\n%s", indent(last(v.Output.Lines(id), 60)))
	}
	v.T.Error(b.String())
}

// last returns the last lines of a text.
func last(text string, n int) string {
	lines := strings.SplitAfter(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
}

// leak notes something that is left over.
func (s *soak) leak(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.mu.Lock()
	s.leaks = append(s.leaks, text)
	s.mu.Unlock()
	s.T.Errorf("leak: %s", text)
}

// line says how it goes.
func (s *soak) line() {
	s.mu.Lock()
	requests, operations, faults := sum(s.counts, "request"), sum(s.counts, "operation "), sum(s.counts, "fault")
	unexplained := s.counts["request"]["unexplained"]
	s.mu.Unlock()
	s.T.Logf("%v: %d operations, %d requests, %d faults; %d instances; unexplained failures %d, operations ended wrongly %d",
		time.Since(s.began).Round(time.Second), operations, requests, faults, len(s.InstanceProcesses("app")), unexplained, s.wrong.Load())
}

// sum adds up the counts of what begins with a word.
func sum(counts map[string]map[string]int, prefix string) (n int) {
	for what, by := range counts {
		if strings.HasPrefix(what, prefix) {
			for _, k := range by {
				n += k
			}
		}
	}
	return n
}

// report prints what there was.
func (s *soak) report() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, what := range slices.Sorted(maps.Keys(s.counts)) {
		for _, outcome := range slices.Sorted(maps.Keys(s.counts[what])) {
			fmt.Fprintf(w, "%s\t%s\t%d\n", what, outcome, s.counts[what][outcome])
		}
	}
	w.Flush()
	for _, f := range s.failed {
		fmt.Fprintf(&b, "wrong: %s\n", f)
	}
	for _, l := range s.leaks {
		fmt.Fprintf(&b, "leak: %s\n", l)
	}
	s.T.Logf("SLIPWAY_E2E_SEED=%d, %v\n%sunexplained failures %d, operations ended wrongly %d, leaks %d",
		s.seed, time.Since(s.began).Round(time.Second), b.String(), len(s.failed), s.wrong.Load(), len(s.leaks))
}
