package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/wire"
)

// fakeDescription is an operation as Slipway's own calls return it.
type fakeDescription struct {
	types.OperationSummary
	Cause       *string
	CancelledBy *string
	CancelledAt *time.Time
}

func (op *fakeOperation) describe() fakeDescription {
	d := fakeDescription{OperationSummary: op.OperationSummary}
	if op.cause != "" && op.EndedAt != nil {
		d.Cause = aws.String(strings.ToValidUTF8(op.cause, "\uFFFD")) // as the server
	}
	if op.cancelledBy != "" {
		d.CancelledBy, d.CancelledAt = &op.cancelledBy, aws.Time(epoch)
	}
	return d
}

func (f *fakeServer) describeOperations(s *types.Service, body []byte) (any, error) {
	in, err := decode[struct{ OperationIds []string }](body)
	if err != nil {
		return nil, err
	}
	out := struct{ Operations []fakeDescription }{[]fakeDescription{}}
	for _, op := range f.operations[*s.ServiceArn] {
		if slices.Contains(in.OperationIds, *op.Id) {
			out.Operations = append(out.Operations, op.describe())
		}
	}
	return &out, nil
}

func (f *fakeServer) cancelOperation(s *types.Service, body []byte) (any, error) {
	in, err := decode[struct{ OperationId *string }](body)
	if err != nil {
		return nil, err
	}
	for _, op := range slices.Backward(f.operations[*s.ServiceArn]) {
		if in.OperationId != nil && *in.OperationId != *op.Id || in.OperationId == nil && op.EndedAt != nil {
			continue
		}
		if op.EndedAt != nil && op.cancelledBy == "" {
			return nil, wire.NewException("InvalidStateException",
				"Operation "+*op.Id+" ("+string(op.Type)+") can't be cancelled: it ended at 2026-03-01T12:00:01Z with status "+string(op.Status)+".")
		}
		op.cancelledBy = "arn:aws:iam::000000000000:user/ann"
		if f.ending = types.OperationStatusRollbackSucceeded; op.Type == types.OperationTypeCreateService {
			f.ending = types.OperationStatusFailed
		}
		op.lines = []string{"Working.", "The deployment was cancelled by " + op.cancelledBy + "; rolling back to the previous version."}
		return &struct{ Operation fakeDescription }{op.describe()}, nil
	}
	return nil, wire.NewException("InvalidStateException", "Service shop has no operation in progress to cancel.")
}

func TestOpsCancel(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.server.add("shop", types.ServiceStatusRunning)
	s.run("ops", "cancel", "shop")
	s.run("ops", "cancel")
	s.run("deploy", "shop", "--wait=false")
	s.run("ops", "cancel", "shop")
	s.run("ops", "shop")
	s.run("ops", "shop", "--json")
	s.server.ending = ""
	s.run("pause", "shop")
	s.run("ops", "cancel", "shop", "--operation", "00000000000000000000000000000003")
	s.server.services[0].Status = types.ServiceStatusRunning
	s.run("deploy", "shop", "--wait=false")
	s.run("ops", "cancel", "shop", "--wait=false")
	s.run("ops", "cancel", "shop", "--wait=false", "--json")
	s.run("ops", "cancel", "shop", "--operation", "00000000000000000000000000000004", "--json")
	s.server.older = true
	s.run("ops", "shop")
	s.run("ops", "cancel", "shop")
	s.golden()
}
