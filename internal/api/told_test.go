package api_test

import (
	"errors"
	"testing"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// No reply tells of what a power loss right after undoes: the end of an operation, which
// its engine has written and not synced yet, is told when the disk has it.
func TestReplyWaitsForWhatItTells(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]struct {
		operation string
		more      []string
		status    int
	}{
		"DescribeService":                  {"DescribeService", nil, 200},
		"ListOperations":                   {"ListOperations", nil, 200},
		"a refusal":                        {"DisassociateCustomDomain", []string{`"DomainName":"shop.example.com"`}, 400},
		"a refusal, before any permission": {"UpdateService", []string{`"Unknown":{"a":[1]},"ServiceArn":1`}, 400},
	} {
		for outcome, fails := range map[string]error{"synced": nil, "lost": errors.New("I/O error")} {
			t.Run(name+"/"+outcome, func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				arn := b.create("shop")
				b.deploy(arn)
				op := b.live(arn)
				now := b.Clock.Now()
				op.Status, op.StartedAt, op.UpdatedAt, op.EndedAt = slipway.OperationSucceeded, now, now, now
				release := b.Disk.Hold()
				if err := b.Store.UpdateUnsynced(t.Context(), func(tx *store.Tx) error { return tx.SaveOperation(op) }); err != nil {
					t.Fatal(err)
				}
				told := make(chan int, 1)
				go func() { told <- b.Send(b.Request("AppRunner."+call.operation, arnBody(arn, call.more...))).Code }()
				select {
				case <-b.Disk.Asked:
				case code := <-told:
					t.Fatalf("%d, before the disk has what it tells", code)
				}
				want := call.status
				if release(fails); fails != nil {
					want = 500
				}
				if code := <-told; code != want {
					t.Errorf("%d, want %d", code, want)
				}
			})
		}
	}
}
