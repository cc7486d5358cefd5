package deploy_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// events returns the lines of a service's events.
func eventsOf(t *testing.T, st *store.Store, id string) string {
	t.Helper()
	var lines []string
	if err := st.View(t.Context(), func(tx *store.Tx) error {
		list, err := tx.EventsByTime(store.EventQuery{ServiceID: id, Stream: "events"})
		for _, e := range list {
			lines = append(lines, e.Text)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// A resume uses what the pause has kept while its time lasts, if the values of secrets are
// those that the instances were started with, whoever has written them anew. Without the
// setting a pause keeps nothing.
func TestResumeUsesTheKept(t *testing.T) {
	const token = "secret:/token"
	for _, c := range []struct {
		name, keeps string
		meanwhile   func(t *testing.T, put func(string))
		kept, same  bool
		event       string
	}{
		{"nothing has changed", "3600", func(*testing.T, func(string)) {}, true, true, "Thawing the instances that were kept during the pause."},
		{"the same value, written anew", "3600", func(_ *testing.T, put func(string)) { put("t") }, true, true, "Thawing"},
		{"another value", "3600", func(_ *testing.T, put func(string)) { put("u") }, true, false, "Starting new instances: values of secrets have changed since the pause."},
		{"another value and back", "3600", func(_ *testing.T, put func(string)) { put("u"); put("t") }, true, true, "Thawing"},
		{"the time is over", "3600", func(*testing.T, func(string)) { time.Sleep(time.Hour) }, true, false, "Starting new instances: the time is over for which they were kept."},
		{"0", "0", func(*testing.T, func(string)) {}, false, false, ""},
		{"no setting", "", func(*testing.T, func(string)) {}, false, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, running := newStore(t)
				read := newReader(t, st)
				putToken(t, read, "t")
				start(t, running, t.Context(), st, &resolver{tries: map[string]int{}}, read, "a", nil)
				id := create(t, st)
				if c.keeps != "" {
					setTags(t, st, id, slipway.Tag{Key: "slipway:pause-keeps", Value: c.keeps})
				}
				serves := token
				if c.kept {
					serves = "kept:" + token
				} else {
					serves = ""
				}
				testOperation{slipway.CreateService, token, slipway.OperationSucceeded, slipway.StatusRunning, token, ""}.run(t, st, id)
				first := onlyInstance(t, st, id)
				testOperation{slipway.PauseService, "", slipway.OperationSucceeded, slipway.StatusPaused, serves, ""}.run(t, st, id)
				c.meanwhile(t, func(value string) { putToken(t, read, value) })
				testOperation{slipway.ResumeService, "", slipway.OperationSucceeded, slipway.StatusRunning, token, ""}.run(t, st, id)
				if now := onlyInstance(t, st, id); (now == first) != c.same {
					t.Errorf("instance %s serves, the first was %s", now, first)
				}
				said := eventsOf(t, st, id)
				if c.event != "" && !strings.Contains(said, c.event) {
					t.Errorf("events are\n%s\nwant %q", said, c.event)
				}
				if c.kept != strings.Contains(said, "The instances are frozen and kept until ") {
					t.Errorf("events are\n%s", said)
				}
			})
		})
	}
}
