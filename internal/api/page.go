package api

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway"
)

// pager cuts lists into pages. A token holds the key of the last entry that was
// returned, so that what is added or removed meanwhile neither repeats nor
// skips others, and is bound to the list: the operation and the parameters that
// choose its entries.
type pager struct {
	list string // digest of operation and parameters
	max  int    // entries of a page; 0 for all at once
}

func newPager(max *int32, operation string, parameters ...string) pager {
	h := sha256.New()
	for _, s := range append([]string{operation}, parameters...) {
		h.Write([]byte(strconv.Itoa(len(s)) + ":" + s))
	}
	return pager{base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:9]), int(aws.ToInt32(max))}
}

// token is what a NextToken says.
type token struct {
	List  string   `json:"l"`
	After []string `json:"a"`
}

// after returns the key, of n parts, that the page is to begin after; all parts
// are empty for the first page.
func (p pager) after(next *string, n int) ([]string, error) {
	if aws.ToString(next) == "" {
		return make([]string, n), nil
	}
	var t token
	b, err := base64.RawURLEncoding.DecodeString(*next)
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	if err != nil || t.List != p.list || len(t.After) != n {
		return nil, errToken
	}
	return t.After, nil
}

var errToken = slipway.Errorf(slipway.InvalidRequest,
	"NextToken is not one that this operation returned for the same parameters.")

// limit is how many entries to read: one more than a page holds, which tells
// whether another follows. 0 means all.
func (p pager) limit() int {
	if p.max == 0 {
		return 0
	}
	return p.max + 1
}

// page cuts what was read with the pager's limit and returns the token for the
// rest, nil when there is none.
func page[T any](p pager, list []T, key func(T) []string) ([]T, *string) {
	if p.max == 0 || len(list) <= p.max {
		return list, nil
	}
	list = list[:p.max]
	return list, p.token(key(list[p.max-1])...)
}

// token makes the NextToken of a list that goes on after a key.
func (p pager) token(after ...string) *string {
	b, err := json.Marshal(token{p.list, after})
	if err != nil { // strings always encode
		panic(err)
	}
	return aws.String(base64.RawURLEncoding.EncodeToString(b))
}

// instantKey and parseInstantKey write and read the key of a list in order of
// creation.
func instantKey(at time.Time, id string) []string {
	return []string{strconv.FormatInt(at.UnixNano(), 10), id}
}

func parseInstantKey(key []string) (time.Time, string, error) {
	if strings.Join(key, "") == "" {
		return time.Time{}, "", nil
	}
	n, err := strconv.ParseInt(key[0], 10, 64)
	if err != nil || n <= 0 {
		return time.Time{}, "", errToken
	}
	return time.Unix(0, n).UTC(), key[1], nil
}
