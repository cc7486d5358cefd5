package policy

import "strings"

// Context holds the values of a request's condition keys. The zero value is
// empty and ready for reading; make one with NewContext to set keys.
//
// Letter case means nothing in the name of a key, also in the part behind a
// slash that names a tag, as IAM has it.
type Context struct{ values map[string][]string }

// NewContext returns a context without keys.
func NewContext() Context { return Context{map[string][]string{}} }

// Set replaces the values of a key. Without values the key is present and empty,
// as aws:TagKeys is for a call without tags.
func (c Context) Set(key string, values ...string) {
	c.values[strings.ToLower(key)] = append([]string{}, values...)
}

// Add adds one value to a key.
func (c Context) Add(key, value string) {
	k := strings.ToLower(key)
	c.values[k] = append(c.values[k], value)
}

// With returns a context with the keys of both; a key of more replaces the same
// key.
func (c Context) With(more Context) Context {
	both := NewContext()
	for _, from := range []Context{c, more} {
		for k, v := range from.values {
			both.values[k] = v
		}
	}
	return both
}

// Lookup returns the key's values, and whether the key is present.
func (c Context) Lookup(key string) (values []string, ok bool) {
	return c.lookup(strings.ToLower(key))
}

// lookup is Lookup for a key that is in lower case already.
func (c Context) lookup(lower string) ([]string, bool) {
	v, ok := c.values[lower]
	return v, ok
}
