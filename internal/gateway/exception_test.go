package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

func TestException(t *testing.T) {
	t.Parallel()
	internal := Service{Internal: "InternalServiceErrorException"}
	plain := Call{Service: Service{Internal: "InternalFailure"}}
	model := func(name string) Call {
		op, ok := wire.OperationNamed(name)
		if !ok {
			t.Fatal(name)
		}
		return Call{Service: internal, Operation: Operation{Model: op}}
	}
	paused := model("PauseService")
	full := exception(fmt.Errorf("insert: %w", store.ErrFull), &paused)
	if full.Name != "InternalServiceErrorException" || !strings.Contains(full.Message, "disk is full") {
		t.Errorf("a full disk is answered %s %q", full.Name, full.Message)
	}
	for _, c := range []struct {
		err    error
		of     Call
		name   string
		status int
	}{
		{slipway.Errorf(slipway.NotFound, "x"), model("DescribeService"), "ResourceNotFoundException", 400},
		{slipway.Errorf(slipway.NotFound, "x"), model("CreateService"), "InvalidRequestException", 400},
		{slipway.Errorf(slipway.InvalidState, "x"), model("StartDeployment"), "InvalidRequestException", 400},
		{slipway.Errorf(slipway.QuotaExceeded, "x"), model("CreateService"), "ServiceQuotaExceededException", 402},
		{fmt.Errorf("wrapped: %w", slipway.Errorf(slipway.InvalidState, "x")), model("PauseService"), "InvalidStateException", 400},
		{wire.NewException("X", "x"), plain, "X", 400},
		{errors.New("x"), plain, "InternalFailure", 500},
		{errors.New("x"), model("PauseService"), "InternalServiceErrorException", 500},
		{fmt.Errorf("wait: %w", context.Canceled), model("PauseService"), "RequestAbortedException", 400},
	} {
		if e := exception(c.err, &c.of); e.Name != c.name || e.Status != c.status {
			t.Errorf("%v of %v: %d %s, want %d %s", c.err, c.of.Operation.Model, e.Status, e.Name, c.status, c.name)
		}
	}
}
