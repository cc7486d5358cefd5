package share_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
	"github.com/openslipway/slipway/internal/gateway/share"
	"github.com/openslipway/slipway/internal/store"
)

var (
	root = gateway.Caller{User: gateway.Root}
	ann  = gateway.Caller{User: "ann", UserID: "AIDAANN"}
	bob  = gateway.Caller{User: "bob", UserID: "AIDABOB"}
)

// A user may make so many of a kind, another and root as many more.
func TestTake(t *testing.T) {
	t.Parallel()
	for k, most := range map[share.Kind]int{share.Connections: 8, share.Secrets: 1000, share.Parameters: 5000, share.Repositories: 1000, share.Users: 1000, share.Policies: 1000} {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			b := gatewaytest.New(t)
			b.Update(func(tx *store.Tx) error {
				for i := range most + 1 {
					err := share.Take(tx, ann, k, fmt.Sprint("ann", i), 10)
					if full, ok := errors.AsType[*share.FullError](err); ok != (i == most) || ok && !strings.Contains(full.Error(), fmt.Sprint(most)) {
						t.Fatalf("the %dth of ann: %v", i+1, err)
					}
				}
				if err := share.Take(tx, bob, k, "bob", 10); err != nil {
					t.Errorf("bob: %v", err)
				}
				for i := range most + 1 {
					if err := share.Take(tx, root, k, fmt.Sprint("root", i), 10); err != nil {
						t.Fatalf("root: %v", err)
					}
				}
				return nil
			})
		})
	}
}

// What is deleted and kept to be described does not count as living, and is bounded, too.
func TestDeletedThings(t *testing.T) {
	t.Parallel()
	b := gatewaytest.New(t)
	b.Update(func(tx *store.Tx) error {
		for i := range 1001 { // there are no rows of services: all are deleted
			err := share.Take(tx, ann, share.Services, fmt.Sprint(i), 4)
			if full := (*share.FullError)(nil); errors.As(err, &full) != (i == 1000) || i == 1000 && !strings.Contains(err.Error(), "within the last hour") {
				t.Fatalf("the %dth: %v", i+1, err)
			}
		}
		return nil
	})
}

func TestOf(t *testing.T) {
	t.Parallel()
	for quota, want := range map[int]int{30: 23, 10: 8, 4: 3, 3: 3, 1: 1, 0: 1, -1: -1} {
		if got := share.Of(quota); got != want {
			t.Errorf("a share of %d is %d, want %d", quota, got, want)
		}
	}
}

// Values have a share of bytes in all; a thing of root has none.
func TestLeft(t *testing.T) {
	t.Parallel()
	b := gatewaytest.New(t)
	b.Update(func(tx *store.Tx) error {
		for _, arn := range []string{"a", "b"} {
			if err := errors.Join(share.Take(tx, ann, share.Secrets, arn, 0), tx.SetMadeBytes(arn, 1<<20)); err != nil {
				return err
			}
		}
		if left, ok, err := share.Left(tx, share.Secrets, "a"); left != share.MostBytes-1<<20 || !ok || err != nil {
			t.Errorf("%d, %v, %v", left, ok, err)
		}
		if _, ok, err := share.Left(tx, share.Secrets, "roots"); ok || err != nil {
			t.Errorf("root's: %v, %v", ok, err)
		}
		return nil
	})
}
