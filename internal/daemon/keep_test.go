package daemon

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/ecr"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/logs"
	"github.com/openslipway/slipway/internal/store"
)

// A failure to remove the logs of one service does not keep those of another.
func TestKeeperGoesOn(t *testing.T) {
	t.Parallel()
	k := keeper{log: slog.New(slog.DiscardHandler)}
	var err error
	if k.store, err = store.Open(t.Context(), ":memory:"); err != nil {
		t.Fatal(err)
	}
	defer k.store.Close()
	if k.images, err = image.Open(image.Config{Dir: t.TempDir(), Log: k.log}); err != nil {
		t.Fatal(err)
	}
	defer k.images.Close()
	if k.logs, err = logs.New(logs.Config{Dir: t.TempDir(), Log: k.log}); err != nil {
		t.Fatal(err)
	}
	cfg := Default()
	if k.ecr, err = ecr.New(ecr.Config{
		Store: k.store, Images: k.images, Tokens: &ecr.Tokens{}, Region: cfg.Region, Account: cfg.Account, Endpoint: "http://127.0.0.1",
	}); err != nil {
		t.Fatal(err)
	}
	const bad = ".." // not a valid name of a directory of logs
	good := slipway.NewID()
	if _, err := k.logs.Append(t.Context(), logs.Stream{Service: good, Name: "instance/a"}, []logs.Line{{At: time.Now(), Kind: logs.Stdout, Text: "x"}}); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-2 * keepDeleted)
	if err := k.store.Update(t.Context(), func(tx *store.Tx) error {
		var errs []error
		for _, id := range []string{bad, good} {
			errs = append(errs,
				tx.InsertService(slipway.Service{ID: id, Name: id, ARN: id, Label: id, Wanted: slipway.WantedDeleted, CreatedAt: long, UpdatedAt: long}),
				tx.SetStatus(id, slipway.StatusDeleted, long))
		}
		return errors.Join(errs...)
	}); err != nil {
		t.Fatal(err)
	}
	if err := k.pass(t.Context()); err == nil || !strings.Contains(err.Error(), bad) {
		t.Errorf("%v, want an error about %s", err, bad)
	}
	if left, err := k.logs.Streams(good); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}
