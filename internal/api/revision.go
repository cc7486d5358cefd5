package api

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/page"
	"github.com/openslipway/slipway/internal/store"
)

// configurations holds what the operations on one kind of configuration with
// revisions share. T is one revision.
type configurations[T any] struct {
	api  *API
	kind string // type in the ARN: "autoscalingconfiguration"
	noun string // "auto scaling configuration"

	names, revisions int // quotas: names without the default one, and active revisions of one name

	base func(*T) *slipway.Configuration
	read func(tx *store.Tx, arn string) (T, error)
	list func(tx *store.Tx, name, afterName string, afterRevision int) ([]T, error) // active ones by name and revision
	save func(tx *store.Tx, revision T) error
	keep func(revision T) error // refuses the deletion of a revision that is not in use
}

// defaultRevision returns the default revision, which every account has.
func (c configurations[T]) defaultRevision() slipway.Configuration {
	return slipway.Configuration{
		ARN:       c.api.arn(c.kind, defaultName, "1", defaultID),
		Name:      defaultName,
		Revision:  1,
		Latest:    true,
		Active:    true,
		CreatedAt: c.api.now(),
	}
}

// next returns a new latest revision of the name, and takes that role from the
// previous one. Its number is one more than the highest active one. So the number
// of a deleted revision is used again; the ids in the ARNs differ.
func (c configurations[T]) next(tx *store.Tx, name string) (slipway.Configuration, error) {
	revisions, err := c.list(tx, name, "", 0)
	if err != nil {
		return slipway.Configuration{}, err
	}
	if err := c.admit(tx, name, len(revisions)); err != nil {
		return slipway.Configuration{}, err
	}
	revision := 1
	for _, r := range revisions {
		b := c.base(&r)
		revision = b.Revision + 1 // the list is in ascending order
		if b.Latest {
			b.Latest = false
			if err := c.save(tx, r); err != nil {
				return slipway.Configuration{}, err
			}
		}
	}
	return slipway.Configuration{
		ARN:       c.api.arn(c.kind, name, strconv.Itoa(revision), slipway.NewID()),
		Name:      name,
		Revision:  revision,
		Latest:    true,
		Active:    true,
		CreatedAt: c.api.now(),
	}, nil
}

// admit checks the quotas: that of revisions if the name has any, that of names
// if it is new.
func (c configurations[T]) admit(tx *store.Tx, name string, revisions int) error {
	if revisions > 0 || name == defaultName {
		if within(c.revisions, revisions) {
			return nil
		}
		return slipway.Errorf(slipway.QuotaExceeded, "You have reached the limit of %d revisions of %s %s.", c.revisions, c.noun, name)
	}
	if c.names < 0 {
		return nil // no limit: nothing to count
	}
	all, err := c.list(tx, "", "", 0)
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, r := range all {
		if n := c.base(&r).Name; n != defaultName {
			names[n] = true
		}
	}
	if within(c.names, len(names)) {
		return nil
	}
	return slipway.Errorf(slipway.QuotaExceeded, "You have reached the limit of %d %ss.", c.names, c.noun)
}

// find returns the revision of a full ARN, including a deleted one. An ARN
// without id names an active revision, and one without revision and id the
// latest.
func (c configurations[T]) find(tx *store.Tx, text string) (T, error) {
	var none T
	arn, err := c.parse(text)
	if err != nil {
		return none, err
	}
	if len(arn.Parts) == 3 {
		r, err := c.read(tx, text)
		if errors.Is(err, store.ErrNotFound) {
			err = c.missing(text)
		}
		return r, err
	}
	if !arn.In(c.api.cfg.Region, c.api.cfg.Account) {
		return none, c.missing(text)
	}
	list, err := c.list(tx, arn.Name(), "", 0)
	if err != nil {
		return none, err
	}
	i := slices.IndexFunc(list, func(r T) bool {
		if len(arn.Parts) == 1 {
			return c.base(&r).Latest
		}
		return strconv.Itoa(c.base(&r).Revision) == arn.Parts[1]
	})
	if i < 0 {
		return none, c.missing(text)
	}
	return list[i], nil
}

func (c configurations[T]) parse(text string) (slipway.ARN, error) {
	arn, err := slipway.ParseARN(text)
	if err == nil && arn.Type != c.kind {
		err = slipway.Errorf(slipway.InvalidRequest, "%s is not the ARN of an %s "+
			"(arn:aws:apprunner:<region>:<account>:%s/<name>[/<revision>[/<id>]]).", text, c.noun, c.kind)
	}
	return arn, err
}

func (c configurations[T]) missing(arn string) error {
	return slipway.Errorf(slipway.NotFound, "%s not found: %s", strings.ToUpper(c.noun[:1])+c.noun[1:], arn)
}

// findActive is find for calls that use the revision.
func (c configurations[T]) findActive(tx *store.Tx, text string) (T, error) {
	r, err := c.find(tx, text)
	if err == nil && !c.base(&r).Active {
		err = c.missing(text)
	}
	return r, err
}

// resolve returns the full ARN of the active revision that an ARN names.
func (c configurations[T]) resolve(tx *store.Tx, text string) (string, error) {
	r, err := c.findActive(tx, text)
	return c.base(&r).ARN, err
}

// choose returns the full ARN of the active revision for a service. A missing one
// is an invalid request here, not a missing resource.
func (c configurations[T]) choose(tx *store.Tx, asked string) (string, error) {
	arn, err := c.resolve(tx, asked)
	if e, ok := errors.AsType[*slipway.Error](err); ok {
		err = slipway.Errorf(slipway.InvalidRequest, "%s", e.Message)
	}
	return arn, err
}

// delete deletes an active revision. The highest remaining one of its name
// becomes the latest.
func (c configurations[T]) delete(tx *store.Tx, arn string) (T, error) {
	r, err := c.findActive(tx, arn)
	if err != nil {
		return r, err
	}
	wasLatest := c.base(&r).Latest
	if r, err = c.deactivate(tx, r); err != nil || !wasLatest {
		return r, err
	}
	left, err := c.list(tx, c.base(&r).Name, "", 0)
	if err != nil || len(left) == 0 {
		return r, err
	}
	last := left[len(left)-1]
	c.base(&last).Latest = true
	return r, c.save(tx, last)
}

// deactivate deletes a revision unless it is in use or protected. It can still be
// described until the store forgets it.
func (c configurations[T]) deactivate(tx *store.Tx, r T) (T, error) {
	if err := c.keep(r); err != nil {
		return r, err
	}
	b := c.base(&r)
	if err := refuseUsed(tx, b.ARN); err != nil {
		return r, err
	}
	b.Active, b.Latest, b.DeletedAt = false, false, c.api.now()
	return r, c.save(tx, r)
}

// refuseUsed refuses to delete a resource that a service uses.
func refuseUsed(tx *store.Tx, arn string) error {
	used, err := tx.InUse(arn)
	if err == nil && used {
		err = slipway.Errorf(slipway.InvalidRequest, "You can't delete %s: a service uses it.", arn)
	}
	return err
}

// revisionList is the input of a list of revisions.
type revisionList struct {
	operation  string
	name       *string
	latestOnly *bool
	max        *int32
	next       *string
}

// page returns a page of active revisions by name and number: all of them if
// LatestOnly is false, otherwise the latest of each name. also, if not nil,
// selects further revisions that are listed if LatestOnly is absent.
func (c configurations[T]) page(tx *store.Tx, call *gateway.Call, l revisionList, also func(T) bool) ([]T, *string, error) {
	which := "absent"
	if l.latestOnly != nil {
		which = strconv.FormatBool(*l.latestOnly)
	}
	p := page.New(l.max, l.operation, aws.ToString(l.name), which)
	afterName, afterRevision, err := parseRevisionKey(p, l.next)
	if err != nil {
		return nil, nil, err
	}
	all, err := c.list(tx, aws.ToString(l.name), afterName, afterRevision)
	if err != nil {
		return nil, nil, err
	}
	list := slices.DeleteFunc(all, func(r T) bool {
		switch {
		case l.latestOnly == nil:
			return !c.base(&r).Latest && (also == nil || !also(r))
		case *l.latestOnly:
			return !c.base(&r).Latest
		}
		return false
	})
	if list, err = gateway.Shown(tx, call, list, func(r T) string { return c.base(&r).ARN }); err != nil {
		return nil, nil, err
	}
	if n := p.Limit(); n > 0 && len(list) > n {
		list = list[:n]
	}
	list, next := page.Cut(p, list, func(r T) []string {
		return []string{c.base(&r).Name, strconv.Itoa(c.base(&r).Revision)}
	})
	return list, next, nil
}

func parseRevisionKey(p page.Pager, next *string) (name string, revision int, err error) {
	key, err := p.After(next, 2)
	if err != nil || key[0] == "" && key[1] == "" {
		return "", 0, err
	}
	if revision, err = strconv.Atoi(key[1]); err != nil {
		err = page.ErrToken
	}
	return key[0], revision, err
}
