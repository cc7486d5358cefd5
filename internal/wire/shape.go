package wire

import (
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Kind is the JSON form of a shape's values.
type Kind int

// The kinds of shapes.
const (
	Structure Kind = iota // object with known members
	List                  // object with fixed members
	Map                   // object with free names
	String
	Integer
	Boolean
	Timestamp // number: seconds since 1970
)

// Shape is a type of the service model with its constraints. All shapes are
// defined at compile time and never change.
type Shape struct {
	Name    string
	Kind    Kind
	Members []Member // of a Structure, in the model's order
	Elem    *Shape   // of a List, or the values of a Map
	Key     *Shape   // of a Map

	// Min and Max bound a String's length in characters or an Integer's value.
	Min, Max       int
	HasMin, HasMax bool

	Pattern   *Pattern // nil for none
	Enum      []string // nil for any value
	Sensitive bool     // the value must not be repeated in messages or logs
}

// Member is a member of a structure.
type Member struct {
	Name     string
	Shape    *Shape
	Required bool
}

// Pattern is a regular expression over a string's whole value.
//
// The model writes some patterns as "^256|512|...$". Taken literally, the
// anchors bind only to the first and last alternative, so that "25600" would be
// a valid Cpu. The service behind the model matches the whole value against the
// expression without anchors, and so does Match: "25600" is refused.
type Pattern struct {
	Text string // the model's expression, for messages

	match     string // what Match uses in place of Text; "" for Text itself
	notPrefix string // the value must not begin with this; it replaces a look-ahead

	once     sync.Once // compiles on first use: most processes need few
	compiled *regexp.Regexp
}

// Match reports whether the whole of s matches.
func (p *Pattern) Match(s string) bool {
	p.once.Do(func() {
		text := p.match
		if text == "" {
			text = p.Text
		}
		p.compiled = regexp.MustCompile(`^(?:` + text + `)$`)
	})
	if p.notPrefix != "" && strings.HasPrefix(s, p.notPrefix) {
		return false
	}
	return p.compiled.MatchString(s)
}

// Operation is an operation of the service model.
type Operation struct {
	Name       string
	Input      *Shape
	Output     *Shape
	Exceptions []string // names of the exceptions it may answer with, sorted
}

// Permits reports whether the model lets the operation answer with the
// exception. SDKs have types only for those.
func (o *Operation) Permits(exception string) bool {
	_, ok := slices.BinarySearch(o.Exceptions, exception)
	return ok
}

// Operations yields the model's operations by name.
func Operations() iter.Seq2[string, *Operation] { return maps.All(operations) }

// OperationNamed returns the model's operation of this name.
func OperationNamed(name string) (*Operation, bool) {
	o, ok := operations[name]
	return o, ok
}
