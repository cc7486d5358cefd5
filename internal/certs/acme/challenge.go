package acme

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"sync"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// challenges are what the authority may ask for now. They are in memory for this process, and
// in the store for the other servers that it may come to.
type challenges struct {
	storage *storage

	mu   sync.Mutex // guards list
	list map[string]acme.Challenge
}

// keyOf returns the key of a challenge in memory and, below "challenge/", in the storage.
func keyOf(kind, name string) string { return kind + "/" + strings.ToLower(name) }

// find returns the challenge of a kind for a name that is to be solved now. known says that
// the name is one for which there may be some: strangers don't make the store search.
func (c *challenges) find(ctx context.Context, kind, name string, known bool) (acme.Challenge, bool) {
	key := keyOf(kind, name)
	c.mu.Lock()
	found, ok := c.list[key]
	c.mu.Unlock()
	if ok || !known {
		return found, ok
	}
	b, err := c.storage.Load(ctx, "challenge/"+key)
	if err != nil || json.Unmarshal(b, &found) != nil {
		return acme.Challenge{}, false
	}
	return found, true
}

// solver presents the challenges of one kind. Whoever serves HTTP or TLS looks them up.
type solver struct{ of *challenges }

var _ acmez.Solver = solver{}

// Present implements acmez.Solver.
func (s solver) Present(ctx context.Context, ch acme.Challenge) error {
	key := keyOf(ch.Type, ch.Identifier.Value)
	b, err := json.Marshal(ch)
	if err != nil {
		return err
	}
	s.of.mu.Lock()
	s.of.list[key] = ch
	s.of.mu.Unlock()
	return s.of.storage.Store(ctx, "challenge/"+key, b)
}

// CleanUp implements acmez.Solver, also when ctx has ended.
func (s solver) CleanUp(ctx context.Context, ch acme.Challenge) error {
	key := keyOf(ch.Type, ch.Identifier.Value)
	s.of.mu.Lock()
	delete(s.of.list, key)
	s.of.mu.Unlock()
	err := s.of.storage.Delete(context.WithoutCancel(ctx), "challenge/"+key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// challengePath begins the paths of HTTP-01.
const challengePath = "/.well-known/acme-challenge/"

// Challenge answers the authority's question by HTTP-01: a request for path at host. ok is
// false if it is no such question, or one that nobody expects.
func (m *Manager) Challenge(host, path string) (answer string, ok bool) {
	token, is := strings.CutPrefix(path, challengePath)
	if !is || token == "" {
		return "", false
	}
	ch, ok := m.challenges.find(m.life, acme.ChallengeTypeHTTP01, host, m.knows(host))
	if !ok || ch.Token != token {
		return "", false
	}
	return ch.KeyAuthorization, true
}

// IsChallenge reports whether a handshake is the authority's question by TLS-ALPN-01.
func IsChallenge(hello *tls.ClientHelloInfo) bool {
	return len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == Proto
}

// Proto is the protocol of TLS-ALPN-01, for tls.Config.NextProtos.
const Proto = acmez.ACMETLS1Protocol

// ChallengeCertificate answers such a question, or returns nil if nobody expects it.
func (m *Manager) ChallengeCertificate(name string) (*tls.Certificate, error) {
	ch, ok := m.challenges.find(m.life, acme.ChallengeTypeTLSALPN01, name, m.knows(name))
	if !ok {
		return nil, nil
	}
	return acmez.TLSALPN01ChallengeCert(ch)
}
