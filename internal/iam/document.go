package iam

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway/internal/policy"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// validDocument returns a policy document after parsing it.
func validDocument(v *string) (string, error) {
	text, err := required("policyDocument", v)
	switch {
	case err != nil:
		return "", err
	case len(text) > maxRawDocument:
		return "", invalid("1 validation error detected: Value at 'policyDocument' failed to satisfy constraint: Member must have length less than or equal to %d", maxRawDocument)
	case !textForm.MatchString(text):
		return "", invalid("The specified value for policyDocument is invalid. It must contain only printable ASCII and Latin-1 characters, tabs, line feeds and carriage returns.")
	}
	if _, err := policy.Parse([]byte(text)); err != nil {
		return "", wire.NewException("MalformedPolicyDocument", err.Error())
	}
	return text, nil
}

// sizeOf returns a document's size in characters as IAM counts it: without white
// space.
func sizeOf(text string) int {
	n := 0
	for _, r := range text {
		if !unicode.IsSpace(r) {
			n++
		}
	}
	return n
}

// encoded returns a document percent-encoded, as IAM returns it.
func encoded(document string) *string {
	return aws.String(strings.ReplaceAll(url.QueryEscape(document), "+", "%20"))
}

// documents caches parsed documents by their text.
type documents struct {
	mu     sync.Mutex // guards parsed
	parsed map[string]*policy.Document
}

// maxDocuments bounds the cache; a server with more policies parses some of them
// again.
const maxDocuments = 1000

func (d *documents) parse(text string) (*policy.Document, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if doc := d.parsed[text]; doc != nil {
		return doc, nil
	}
	doc, err := policy.Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	if d.parsed == nil || len(d.parsed) >= maxDocuments {
		d.parsed = map[string]*policy.Document{}
	}
	d.parsed[text] = doc
	return doc, nil
}

// source is a policy of a user with its text.
type source struct {
	policy.Policy
	text    string
	managed bool
}

// sources returns the policies that apply to a user. A policy that cannot be
// parsed is an error: skipping it could skip a Deny.
func (i *IAM) sources(tx *store.Tx, user string) ([]source, error) {
	stored, err := tx.DocumentsOf(user)
	if err != nil {
		return nil, err
	}
	var list []source
	add := func(name, text string, managed bool) error {
		doc, err := i.cache.parse(text)
		list = append(list, source{policy.Policy{Name: name, Document: doc}, text, managed})
		if err != nil {
			return fmt.Errorf("policy %s of user %s: %w", name, user, err)
		}
		return nil
	}
	for _, p := range stored {
		if err := add(p.Name, p.Document, strings.HasPrefix(p.Name, "arn:")); err != nil {
			return nil, err
		}
	}
	arns, err := tx.AttachedPolicies(user)
	if err != nil {
		return nil, err
	}
	for _, arn := range arns {
		if p, ok := awsManagedPolicy(arn); ok {
			if err := add(arn, p.document, true); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// Policies returns the policies that apply to a user, for the gateway.
func (i *IAM) Policies(tx *store.Tx, user string) ([]policy.Policy, error) {
	sources, err := i.sources(tx, user)
	list := make([]policy.Policy, len(sources))
	for n, s := range sources {
		list[n] = s.Policy
	}
	return list, err
}
