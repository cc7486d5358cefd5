// Package share bounds what one user makes of what all users of a server share: how many
// rows of each kind, and how many bytes of values. Nobody can fill the database, or take
// every place, for the others.
//
// The root user has no bound of this kind: the server is the root user's. Things of users
// who were deleted, or that were made before makers were noted, count for nobody.
package share

import (
	"errors"
	"fmt"

	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
)

// Kind is a kind of things that users make, by the table of its rows.
type Kind string

// The kinds.
const (
	Services        Kind = "service"
	Connections     Kind = "connection"
	VPCConnectors   Kind = "vpc_connector"
	AutoScalings    Kind = "autoscaling"   // counted by name
	Observabilities Kind = "observability" // counted by name
	Secrets         Kind = "secret"
	Parameters      Kind = "parameter"
	Repositories    Kind = "repository"
	Users           Kind = "iam_user"
	Policies        Kind = "iam_policy"
)

// nouns name the kinds in refusals.
var nouns = map[Kind]string{
	Services: "services", Connections: "connections", VPCConnectors: "VPC connectors", AutoScalings: "auto scaling configurations",
	Observabilities: "observability configurations", Secrets: "secrets", Parameters: "parameters", Repositories: "repositories",
	Users: "users", Policies: "managed policies",
}

// Most is how many things of a kind a user may have made, where no quota of the server
// says so.
var most = map[Kind]int{Secrets: 1000, Parameters: 5000, Repositories: 1000, Users: 1000, Policies: 1000}

const (
	mostKept = 1000 // things with those deleted within the last hour, where these are kept

	// MostBytes is how much the values of a user's secrets may take in the database, and
	// those of a user's parameters.
	MostBytes = 64 << 20
)

// FullError refuses a further thing or value of a user whose share is used up.
type FullError struct{ text string }

func (e *FullError) Error() string { return e.text }

// Of returns a user's share of a quota: three quarters, at least one, so that nobody can
// take all. A negative quota, which is no limit, has no share.
func Of(quota int) int {
	if quota < 0 {
		return quota
	}
	return max(1, quota-quota/4)
}

// Take notes that the caller makes a thing, in the transaction that inserts it, and
// refuses with a *FullError if the caller has made enough of the kind. quota is the
// server's, 0 for a kind without one.
func Take(tx *store.Tx, c gateway.Caller, k Kind, arn string, quota int) error {
	if c.ID() == "" {
		return nil
	}
	if err := tx.SetMaker(arn, string(k), c.ID()); err != nil {
		return err
	}
	have, err := tx.Made(string(k), c.ID()) // with this one
	if err != nil {
		return err
	}
	limit := Of(quota)
	if n, ok := most[k]; ok {
		limit = n
	}
	switch {
	case limit >= 0 && have.Living > limit:
		return &FullError{fmt.Sprintf("You have made %d %s, the most that one user may have; the others are for other users. Delete one that you no longer need.", limit, nouns[k])}
	case most[k] == 0 && have.Kept > mostKept:
		return &FullError{fmt.Sprintf("You have made %d %s with those deleted within the last hour, the most that one user may. Try again later.", mostKept, nouns[k])}
	}
	return nil
}

// Left returns how many bytes the values of a thing may take, of the share of the user who
// made it; ok is false where no share bounds them.
func Left(tx *store.Tx, k Kind, arn string) (left int64, ok bool, err error) {
	maker, own, err := tx.Maker(arn)
	if errors.Is(err, store.ErrNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	have, err := tx.Made(string(k), maker)
	return MostBytes - (have.Bytes - own), true, err
}

// Full returns the refusal of a value for which the share of the thing's maker has no
// place.
func Full(k Kind) error {
	return &FullError{fmt.Sprintf("The values of the %s that the maker of this one has made may take %d MiB, and they do. Delete some that are no longer needed.", nouns[k], MostBytes>>20)}
}
