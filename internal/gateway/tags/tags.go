// Package tags is what AWS services do alike with the tags of resources: the
// condition keys of a call that sets or removes tags, the checks of tags, and
// setting them within the limit. Each service names its own exceptions in
// [Rules].
//
// The packages of services call it. It stores nothing: internal/store does.
package tags

import (
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/policy"
	"github.com/openslipway/slipway/internal/store"
)

// AWS's limits.
// https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html
const (
	Max = 50 // tags of a resource

	maxKey   = 128 // characters; at least 1
	maxValue = 256 // characters

	reserved = "aws:" // begins keys that only AWS sets
)

// Of returns the tags of an SDK, in which every service has a different type.
func Of[T any](list []T, pair func(T) (key, value *string)) []slipway.Tag {
	tags := make([]slipway.Tag, len(list))
	for i, t := range list {
		key, value := pair(t)
		tags[i] = slipway.Tag{Key: aws.ToString(key), Value: aws.ToString(value)}
	}
	return tags
}

// Set returns the condition keys of a call that sets tags: aws:TagKeys, and
// aws:RequestTag/<key> for each. Without tags there are none.
func Set(list []slipway.Tag) policy.Context {
	c := policy.NewContext()
	for _, t := range list {
		c.Add("aws:TagKeys", t.Key)
		c.Add("aws:RequestTag/"+t.Key, t.Value)
	}
	return c
}

// Removed returns the condition keys of a call that removes tags: aws:TagKeys.
func Removed(keys []string) policy.Context {
	c := policy.NewContext()
	c.Set("aws:TagKeys", keys...)
	return c
}

// Rules are one service's checks of tags, each with the error that it returns.
// What is nil is not checked.
type Rules struct {
	Length   func(t slipway.Tag) error // a key must have 1 to 128 characters, a value at most 256
	Reserved func(t slipway.Tag) error // a key must not begin with aws:
	Other    func(i int, t slipway.Tag) error
	Twice    func(t slipway.Tag) error
	TooMany  func(n int) error // n is more than [Max]; required

	FoldCase bool // keys that differ only in letter case are the same
}

// Check returns the error of the first tag that breaks a rule, then that of too
// many tags.
func (r Rules) Check(list []slipway.Tag) error {
	if err := r.CheckEach(list); err != nil {
		return err
	}
	if len(list) > Max {
		return r.TooMany(len(list))
	}
	return nil
}

// CheckEach is Check without the number of tags.
func (r Rules) CheckEach(list []slipway.Tag) error {
	seen := map[string]bool{}
	for i, t := range list {
		if err := r.checkOne(i, t); err != nil {
			return err
		}
		key := t.Key
		if r.FoldCase {
			key = strings.ToLower(key)
		}
		if seen[key] && r.Twice != nil {
			return r.Twice(t)
		}
		seen[key] = true
	}
	return nil
}

func (r Rules) checkOne(i int, t slipway.Tag) error {
	badLength := t.Key == "" || utf8.RuneCountInString(t.Key) > maxKey || utf8.RuneCountInString(t.Value) > maxValue
	switch {
	case badLength && r.Length != nil:
		return r.Length(t)
	case strings.HasPrefix(t.Key, reserved) && r.Reserved != nil:
		return r.Reserved(t)
	case r.Other != nil:
		return r.Other(i, t)
	}
	return nil
}

// Add adds tags to a resource or overwrites their values. If the resource then
// has too many tags, the error takes back the transaction.
func (r Rules) Add(tx *store.Tx, arn string, list []slipway.Tag) error {
	if err := tx.SetTags(arn, list); err != nil {
		return err
	}
	n, err := tx.CountTags(arn)
	if err == nil && n > Max {
		err = r.TooMany(n)
	}
	return err
}
