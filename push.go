package slipway

import "time"

// PushHook is the address at which a provider of source code tells of pushes, by the
// webhooks of a connection's repositories. A connection has one at most.
type PushHook struct {
	ID         string // random, the last part of its URL
	Connection string // ARN
	Secret     []byte // the sealed secret that authenticates deliveries

	CreatedAt   time.Time // when the secret was set
	DeliveredAt time.Time // of the last accepted push; zero for none
}

// PushHookPath is the path of all such webhooks; an id follows.
const PushHookPath = "/webhooks/"

// SecretOwner names the owner of the sealed secret, for whoever seals and opens it.
func (h PushHook) SecretOwner() string { return "push webhook " + h.ID }

// Push is a push of which a provider of source code told. It says where to look: what
// is there now is asked of the repository.
type Push struct {
	Connection string   // ARN of the connection whose webhook told
	URLs       []string // of the repository, in any form

	// Path is PROJECT/name of a repository of the connection's host, from providers
	// that tell no URL.
	Path string

	Refs []string // full names of what moved, such as refs/heads/main
}
