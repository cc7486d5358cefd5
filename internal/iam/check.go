package iam

import (
	"encoding/base64"
	"regexp"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway/tags"
)

// The limits of IAM, as numbers of characters where nothing else is said.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	maxUserName        = 64
	maxPolicyName      = 128
	maxPath            = 512
	maxManagedDocument = 6144 // white space not counted
	maxInlineDocuments = 2048 // of one user, white space not counted
	maxRawDocument     = 131072
	maxVersions        = 5
	maxAttached        = 10

	// maxKeys is higher than IAM's limit of two, so that each of several programs
	// can have a separate key.
	maxKeys = 10
)

// tagPattern is IAM's pattern for the keys and values of tags. XML cannot carry
// every character that it excludes.
const tagPattern = `[\p{L}\p{Z}\p{N}_.:/=+\-@]*`

var (
	nameForm = regexp.MustCompile(`^[\w+=,.@-]+$`)
	pathForm = regexp.MustCompile(`^(/|/[!-~]+/)$`)
	tagForm  = regexp.MustCompile(`^` + tagPattern + `$`)
	textForm = regexp.MustCompile(`^[\x{0009}\x{000A}\x{000D}\x{0020}-\x{00FF}]+$`)
)

// required returns the value of a required member.
func required(member string, v *string) (string, error) {
	if aws.ToString(v) == "" {
		return "", invalid("1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", member)
	}
	return *v, nil
}

// validName returns a required name after checking IAM's syntax.
func validName(member string, v *string, most int) (string, error) {
	name, err := required(member, v)
	switch {
	case err != nil:
		return "", err
	case utf8.RuneCountInString(name) > most:
		return "", invalid("1 validation error detected: Value at '%s' failed to satisfy constraint: Member must have length less than or equal to %d", member, most)
	case !nameForm.MatchString(name):
		return "", invalid("The specified value for %s is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-", member)
	}
	return name, nil
}

// validPath returns a path, by default "/".
func validPath(member string, v *string) (string, error) {
	path := aws.ToString(v)
	if path == "" {
		return "/", nil
	}
	if len(path) > maxPath || !pathForm.MatchString(path) {
		return "", invalid("The specified value for %s is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.", member)
	}
	return path, nil
}

// tagRules are IAM's checks of tags.
func tagRules() tags.Rules {
	return tags.Rules{
		FoldCase: true,
		Length: func(slipway.Tag) error {
			return invalid("A tag must have a key of 1 to 128 characters and a value of at most 256.")
		},
		Other: func(i int, t slipway.Tag) error {
			if !tagForm.MatchString(t.Key) {
				return malformedTag(i, "key")
			}
			if !tagForm.MatchString(t.Value) {
				return malformedTag(i, "value")
			}
			return nil
		},
		Twice: func(slipway.Tag) error {
			return invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		},
		TooMany: func(int) error {
			return quota("The number of tags has reached the maximum limit of %d.", tags.Max)
		},
	}
}

// validTags returns the tags of a call after checking them.
func validTags(in []types.Tag) ([]slipway.Tag, error) {
	list := tagsOf(in)
	return list, tagRules().Check(list)
}

func malformedTag(i int, part string) error {
	return invalid("1 validation error detected: Value at 'tags.%d.member.%s' failed to satisfy constraint: "+
		"Member must satisfy regular expression pattern: %s", i+1, part, tagPattern)
}

// paginate returns the requested page of a sorted list: what comes after the
// marker's name, at most max entries, 100 by default.
func paginate[T any](list []T, marker *string, max *int32, name func(T) string) (page []T, next *string, err error) {
	limit := 100
	if max != nil {
		limit = int(*max)
	}
	if limit < 1 || limit > 1000 {
		return nil, nil, invalid("1 validation error detected: Value '%d' at 'maxItems' failed to satisfy constraint: Member must have value between 1 and 1000", limit)
	}
	after, err := base64.RawURLEncoding.DecodeString(aws.ToString(marker))
	if err != nil {
		return nil, nil, invalid("Invalid Marker.")
	}
	page = []T{}
	for _, e := range list {
		switch {
		case name(e) <= string(after) && len(after) > 0:
		case len(page) == limit:
			return page, aws.String(base64.RawURLEncoding.EncodeToString([]byte(name(page[limit-1])))), nil
		default:
			page = append(page, e)
		}
	}
	return page, nil, nil
}
