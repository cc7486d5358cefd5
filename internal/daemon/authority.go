package daemon

import (
	"errors"
	"fmt"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/ecr"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/iam"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// authority decides what the server may do for a user who makes no call: in a deployment
// it uses what the user may use who last set the source of the service.
type authority struct {
	*core
	authorizer gateway.Authorizer
}

func newAuthority(c *core) (authority, error) {
	identities, err := iam.New(iam.Config{Store: c.store, Account: c.cfg.Account})
	if err != nil {
		return authority{}, err
	}
	return authority{c, gateway.Authorizer{Region: c.cfg.Region, Policies: identities.Policies, Now: time.Now}}, nil
}

// secretNeed returns the permission to read what a reference names.
func (c *core) secretNeed(tx *store.Tx, reference string) (gateway.Permission, error) {
	action, arn, err := c.vault.Need(tx, reference)
	return gateway.Permission{Action: action, Resource: arn, Named: reference}, err
}

// mayRead is deploy.Config.MayRead.
func (a authority) mayRead(tx *store.Tx, userID, reference string) error {
	need, err := a.secretNeed(tx, reference)
	if err != nil {
		return err
	}
	return a.permit(tx, userID, need)
}

// mayPull is deploy.Config.MayPull.
func (a authority) mayPull(tx *store.Tx, userID, repository string) error {
	return a.permit(tx, userID, a.pulls(repository)...)
}

// mayConnect is deploy.Config.MayConnect. As for calls, only a Deny counts.
func (a authority) mayConnect(tx *store.Tx, userID, connection string) error {
	return a.permit(tx, userID, gateway.Permission{Action: "apprunner:CreateService", Resource: connection, DenyOnly: true})
}

// pulls returns the permissions to read the images of a repository.
func (c *core) pulls(repository string) []gateway.Permission {
	arn := ecr.RepositoryARN(c.cfg.Region, c.cfg.Account, repository)
	return []gateway.Permission{{Action: "ecr:BatchGetImage", Resource: arn}, {Action: "ecr:GetDownloadUrlForLayer", Resource: arn}}
}

// imageNeeds returns the permissions to have a service run the image of a name: none for
// one of another registry. A name without a registry's host means this server's registry
// first; it needs them also if nothing is there, so that a denial does not tell. Where it
// may mean Docker Hub's image instead, only a Deny counts then.
func (a *apiRole) imageNeeds(ref string) ([]gateway.Permission, error) {
	m, err := a.images.Means(ref)
	if err != nil || m.Repository == "" {
		return nil, err
	}
	list := a.pulls(m.Repository)
	for i := range list {
		list[i].DenyOnly = m.Hub
		if m.Short {
			list[i].Named = ref
		}
	}
	return list, nil
}

// permit returns a *slipway.Error if the user lacks a permission.
func (a authority) permit(tx *store.Tx, userID string, required ...gateway.Permission) error {
	caller, err := gateway.OnBehalf(tx, a.cfg.Account, userID)
	if errors.Is(err, store.ErrNotFound) {
		return slipway.Errorf(slipway.InvalidRequest,
			"The user who last set the service's source was deleted, and with them the right to use it. An update with a SourceConfiguration makes it the right of who updates.")
	}
	if err != nil {
		return fmt.Errorf("read user %s: %w", userID, err)
	}
	err = a.authorizer.Permit(tx, caller, required...)
	if e, refused := errors.AsType[*wire.Exception](err); refused {
		return slipway.Errorf(slipway.InvalidRequest, "%s", e.Message)
	}
	return err
}
