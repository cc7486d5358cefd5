package operation_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/operation"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/store/storetest"
)

// TestDamagedOperation: an operation whose row is damaged fails and says so, and those after it
// are executed.
func TestDamagedOperation(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	storetest.Create(t, path)
	s, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	bad := slipway.Operation{ID: slipway.NewID(), ServiceID: slipway.NewID(), Kind: slipway.UpdateService, CreatedAt: time.Now().Add(-time.Minute)}
	good := slipway.Operation{ID: slipway.NewID(), ServiceID: slipway.NewID(), Kind: slipway.UpdateService, CreatedAt: time.Now()}
	if err := s.Update(t.Context(), func(tx *store.Tx) error {
		return errors.Join(tx.InsertOperation(bad), tx.InsertOperation(good))
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	storetest.Spoil(t, path, storetest.Value{Table: "operation", Column: "input", Where: "id", Is: bad.ID})
	if s, err = store.Open(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	done := func(*store.Tx, *slipway.Operation, time.Time) error { return nil }
	e, err := operation.New(operation.Config{
		Store: s, Owner: "me", Log: slog.New(slog.DiscardHandler), Limit: 1,
		Plan: func(slipway.OperationKind) (operation.Plan, bool) {
			return operation.Plan{
				Forward:      []operation.Step{{Name: "step", Edit: done}},
				FailedStatus: func(slipway.Operation) slipway.OperationStatus { return slipway.OperationFailed },
			}, true
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); e.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	get := func(id string) (op slipway.Operation) {
		if err := s.View(t.Context(), func(tx *store.Tx) (err error) { op, err = tx.Operation(id); return err }); err != nil {
			t.Fatal(err)
		}
		return op
	}
	for deadline := time.Now().Add(time.Minute); get(bad.ID).EndedAt.IsZero() || get(good.ID).EndedAt.IsZero(); {
		if time.Now().After(deadline) {
			t.Fatalf("they are %+v and %+v", get(bad.ID), get(good.ID))
		}
		<-time.After(10 * time.Millisecond)
	}
	if op := get(bad.ID); op.Status != slipway.OperationFailed || !strings.Contains(op.Cause, "make the call again") {
		t.Errorf("the damaged one ended %s: %s", op.Status, op.Cause)
	}
	if op := get(good.ID); op.Status != slipway.OperationSucceeded {
		t.Errorf("the other one ended %s: %s", op.Status, op.Cause)
	}
}
