package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/openslipway/slipway/internal/store"
)

// names says which names stand for something on this server: they never mean an image
// of another registry unless they name it.
type names struct{ store *store.Store }

// created reports whether a repository was created, by ECR's calls, that may have no
// images yet.
func (n names) created(repository string) (known bool, err error) {
	err = n.store.View(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Repository(repository)
		if known = err == nil; errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		return err
	})
	return known, err
}

// borne returns the service that bears a name, in any letter case: names of services
// may have capitals, and those of repositories may not.
func (n names) borne(name string) (what string, err error) {
	err = n.store.View(context.Background(), func(tx *store.Tx) error {
		list, err := tx.Services(time.Time{}, "", 0)
		for _, s := range list {
			if strings.EqualFold(s.Name, name) {
				what = "service " + s.Name
			}
		}
		return err
	})
	return what, err
}

// complete returns the ImageIdentifier that a name without a registry's host means, for
// api.Config.
func (a *apiRole) complete(ref string) (string, error) {
	full, err := a.images.Complete(ref)
	if err != nil || !full.Local {
		return full.Name, err
	}
	return fmt.Sprintf("%s.dkr.ecr.%s.amazonaws.com/%s", a.cfg.Account, a.cfg.Region, full.Name), nil
}
