// Package page cuts lists into stable pages: an entry that exists from the
// first page to the last is returned exactly once, whatever is added or removed
// meanwhile. The handlers of all AWS services here use it.
//
// It stores and reads nothing: a token holds the key of the last entry
// returned, and the caller asks its store for the entries after it.
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
// the parameters that select the entries.
type Pager struct {
	list string // digest of operation and parameters
	max  int    // entries of a page; 0 for no limit
}

// New returns the pager of an operation's list with at most max entries a page;
// nil means no limit. parameters are those that select the entries.
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

// token is the content of a NextToken.
type token struct {
	List  string   `json:"l"`
	After []string `json:"a"`
}

// ErrToken refuses a token that was not issued for this list.
var ErrToken = slipway.Errorf(slipway.InvalidRequest,
	"NextToken is not one that this operation returned for the same parameters.")

// After returns the key, of n parts, after which the page begins; all parts are
// empty for the first page. Its error is ErrToken.
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

// Limit is the number of entries to read: one more than a page holds, which
// shows whether another page follows. 0 means all.
func (p Pager) Limit() int {
	if p.max == 0 {
		return 0
	}
	return p.max + 1
}

// Fill reads entries until there are enough for a page of those that are shown: the pager's
// limit, or all without one. read returns the next ones, fewer than the limit at the end of
// the list. shows is nil where all are shown.
func Fill[T any](p Pager, shows func(T) (bool, error), read func() ([]T, error)) (list []T, err error) {
	limit := p.Limit()
	for {
		batch, err := read()
		if err != nil {
			return nil, err
		}
		for _, v := range batch {
			ok := shows == nil
			if !ok {
				if ok, err = shows(v); err != nil {
					return nil, err
				}
			}
			if ok {
				list = append(list, v)
			}
		}
		if limit == 0 || len(batch) < limit {
			return list, nil
		}
		if len(list) >= limit {
			return list[:limit], nil
		}
	}
}

// Cut cuts what was read with the pager's limit to a page and returns the token
// for the next one, nil if there is none.
func Cut[T any](p Pager, list []T, key func(T) []string) ([]T, *string) {
	if p.max == 0 || len(list) <= p.max {
		return list, nil
	}
	list = list[:p.max]
	return list, p.Token(key(list[p.max-1])...)
}

// Token makes the NextToken of a page that begins after a key.
func (p Pager) Token(after ...string) *string {
	b, err := json.Marshal(token{p.list, after})
	if err != nil { // strings always encode
		panic(err)
	}
	s := base64.RawURLEncoding.EncodeToString(b)
	return &s
}

// InstantKey is the key of an entry in a list ordered by creation, then id.
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
