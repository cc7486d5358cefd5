// Package page cuts lists into pages that are stable: an entry that is there
// from the first page to the last comes exactly once, whatever is added or
// removed meanwhile. The handlers of all AWS services here use it.
//
// It keeps nothing and reads nothing: a token holds the key of the last entry
// that was returned, and the caller asks its store for what comes after it.
package page

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/openslipway/slipway"
)

// Pager cuts one list. Its tokens are bound to the list: to the operation and
// the parameters that choose the entries.
type Pager struct {
	list string // digest of operation and parameters
	max  int    // entries of a page; 0 for all at once
}

// New returns the pager of an operation's list with at most max entries a page;
// nil stands for all at once. parameters are those that choose the entries.
func New(max *int32, operation string, parameters ...string) Pager {
	h := sha256.New()
	for _, s := range append([]string{operation}, parameters...) {
		h.Write([]byte(strconv.Itoa(len(s)) + ":" + s))
	}
	p := Pager{list: base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:9])}
	if max != nil {
		p.max = int(*max)
	}
	return p
}

// token is what a NextToken says.
type token struct {
	List  string   `json:"l"`
	After []string `json:"a"`
}

// ErrToken refuses a token that is not one of this list's.
var ErrToken = slipway.Errorf(slipway.InvalidRequest,
	"NextToken is not one that this operation returned for the same parameters.")

// After returns the key, of n parts, that the page is to begin after; all parts
// are empty for the first page. Its error is ErrToken.
func (p Pager) After(next *string, n int) ([]string, error) {
	if next == nil || *next == "" {
		return make([]string, n), nil
	}
	var t token
	b, err := base64.RawURLEncoding.DecodeString(*next)
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	if err != nil || t.List != p.list || len(t.After) != n {
		return nil, ErrToken
	}
	return t.After, nil
}

// Limit is how many entries to read: one more than a page holds, which tells
// whether another follows. 0 means all.
func (p Pager) Limit() int {
	if p.max == 0 {
		return 0
	}
	return p.max + 1
}

// Cut cuts what was read with the pager's limit to a page and returns the token
// for the rest, nil when there is none.
func Cut[T any](p Pager, list []T, key func(T) []string) ([]T, *string) {
	if p.max == 0 || len(list) <= p.max {
		return list, nil
	}
	list = list[:p.max]
	return list, p.Token(key(list[p.max-1])...)
}

// Token makes the NextToken of a list that goes on after a key.
func (p Pager) Token(after ...string) *string {
	b, err := json.Marshal(token{p.list, after})
	if err != nil { // strings always encode
		panic(err)
	}
	s := base64.RawURLEncoding.EncodeToString(b)
	return &s
}

// InstantKey is the key of an entry in a list in order of creation, then id.
func InstantKey(at time.Time, id string) []string {
	return []string{strconv.FormatInt(at.UnixNano(), 10), id}
}

// AfterInstant is After for a list whose keys are InstantKeys; both results are
// zero for the first page. Its error is ErrToken.
func (p Pager) AfterInstant(next *string) (time.Time, string, error) {
	key, err := p.After(next, 2)
	if err != nil {
		return time.Time{}, "", err
	}
	return ParseInstantKey(key)
}

// ParseInstantKey reads what InstantKey wrote; both results are zero for the
// first page. Its error is ErrToken.
func ParseInstantKey(key []string) (time.Time, string, error) {
	if strings.Join(key, "") == "" {
		return time.Time{}, "", nil
	}
	n, err := strconv.ParseInt(key[0], 10, 64)
	if err != nil || n <= 0 {
		return time.Time{}, "", ErrToken
	}
	return time.Unix(0, n).UTC(), key[1], nil
}
