package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// A caller in the process gives a struct or JSON, and gets the operation's
// output, or the exception that a client on the network would get.
func TestInvoke(t *testing.T) {
	t.Parallel()
	_, ann := limited(t, onText, map[string][]string{"ann": {document(`{"Effect":"Allow","Action":"one:Echo","Resource":"` + thing + `"}`)}})
	type other struct {
		Text  *string
		Extra int
	}
	text := thing
	for name, input := range map[string]any{
		"the operation's struct": &echo{Text: thing},
		"another struct":         other{Text: &text, Extra: 1},
		"bytes":                  []byte(`{"Text":"` + thing + `"}`),
		"raw JSON":               json.RawMessage(`{"Text":"` + thing + `"}`),
	} {
		output, err := ann.Invoke("one:Echo", input)
		if got, ok := output.(*echo); err != nil || !ok || got.Text != thing {
			t.Errorf("%s: %#v, %v", name, output, err)
		}
	}
	for name, c := range map[string]struct {
		operation string
		input     any
		want      string
	}{
		"no such operation": {"one:Nothing", nil, "UnknownOperationException"},
		"not JSON":          {"one:Echo", []byte(`{`), "SerializationException"},
		"another type":      {"one:Echo", []byte(`{"Text":1}`), "SerializationException"},
		"what no JSON has":  {"one:Echo", make(chan int), "SerializationException"},
		"not permitted":     {"one:Echo", &echo{Text: "arn:aws:one:::other"}, "AccessDeniedException"},
	} {
		output, err := ann.Invoke(c.operation, c.input)
		if e, ok := errors.AsType[*wire.Exception](err); !ok || e.Name != c.want || output != nil {
			t.Errorf("%s: %v, %v, want %s", name, output, err, c.want)
		}
	}
	root, _ := limited(t, gateway.AnyResource, nil)
	if output, err := root.Invoke("one:Echo", nil); err != nil || *output.(*echo) != (echo{}) {
		t.Errorf("no input: %#v, %v", output, err)
	}
	_, err := root.Invoke("one:Echo", &echo{Text: "panic"})
	if e, ok := errors.AsType[*wire.Exception](err); !ok || e.Name != "InternalFailure" || strings.Contains(e.Message, "hush") {
		t.Errorf("a panic: %v", err)
	}
	if log := root.Logged.String(); !strings.Contains(log, "panic: hush") || !strings.Contains(log, `"operation":"Echo","user":"root"`) {
		t.Errorf("the log: %s", log)
	}
}

// A call's audit record is written with its first change that is committed, and
// with no other; and no change is committed without it.
func TestUpdateWritesTheRecord(t *testing.T) {
	t.Parallel()
	b := gatewaytest.New(t)
	var kept tableRecord
	there := func() bool {
		var list []slipway.AuditRecord
		if err := b.Store.View(t.Context(), func(tx *store.Tx) (err error) { list, err = tx.Audit(store.AuditQuery{Limit: 1}); return err }); err != nil {
			t.Fatal(err)
		}
		return len(list) > 0
	}
	handler := func(ctx context.Context, call *gateway.Call, in *echo) (*echo, error) {
		if in.Text == "broken" {
			return in, call.Update(ctx, func(tx *store.Tx) error { return tx.InsertUser(slipway.User{Name: "x", ID: "x"}) })
		}
		if err := call.Update(ctx, func(*store.Tx) error { return errors.New("no") }); err == nil || there() || kept.begun != 0 {
			t.Errorf("after a failure: %v, there: %v, begun: %d", err, there(), kept.begun)
		}
		for range 2 {
			if err := call.Update(ctx, func(*store.Tx) error { return nil }); err != nil || !there() || kept.begun != 1 {
				t.Errorf("after a change: %v, there: %v, begun: %d", err, there(), kept.begun)
			}
		}
		if err := call.Record(ctx); err != nil || kept.begun != 1 {
			t.Errorf("recorded again: %v, begun: %d", err, kept.begun)
		}
		return in, nil
	}
	early := func(ctx context.Context, call *gateway.Call, in *echo) (*echo, error) {
		return in, call.Record(ctx)
	}
	b.Open([]gateway.Service{{
		Name: "one", Internal: "InternalFailure",
		Operations: []gateway.Operation{gateway.Mutate("Change", handler, gateway.AnyResource), gateway.Mutate("Record", early, gateway.AnyResource)},
	}}, func(c *gateway.Config) { c.Audit = &kept })
	if _, err := b.Invoke("one:Change", nil); err != nil || !kept.ended.Recorded {
		t.Errorf("%v, %+v", err, kept.ended)
	}
	kept.err = errors.New("full")
	if _, err := b.Invoke("one:Change", &echo{Text: "broken"}); err == nil || kept.ended.Recorded || kept.ended.Exception == nil {
		t.Errorf("a change was committed without its record: %v, %+v", err, kept.ended)
	}
	b.Update(func(tx *store.Tx) error {
		if _, err := tx.User("x"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the change is there: %v", err)
		}
		return nil
	})
	kept.err = nil
	if _, err := b.Invoke("one:Record", nil); err != nil || !kept.ended.Recorded || kept.begun != 3 {
		t.Errorf("%v, %+v, begun %d", err, kept.ended, kept.begun)
	}
}

// tableRecord is an auditor that writes the beginnings of calls into the store,
// or fails with err.
type tableRecord struct {
	err   error
	begun int
	ended gateway.Call // the last
}

func (r *tableRecord) Begun(tx *store.Tx, c gateway.Call) error {
	r.begun++
	if r.err != nil {
		return r.err
	}
	return tx.PutAudit(slipway.AuditRecord{ID: c.ID, At: c.At})
}

func (r *tableRecord) Ended(_ context.Context, c gateway.Call) { r.ended = c }

func (*tableRecord) Refused(context.Context, gateway.Call) {}
