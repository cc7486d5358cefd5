package detect

import (
	"fmt"
	"strings"

	"github.com/openslipway/slipway"
)

// The kinds of choices that detection can't make by itself.
const (
	KindLanguage  = "language"  // two languages that each have a program to start
	KindMain      = "main"      // several main packages of Go
	KindTool      = "tool"      // lock files of several package managers, or files of several build tools
	KindProject   = "project"   // several Django projects, .NET projects or modules
	KindApp       = "app"       // several application objects of Python
	KindWorkspace = "workspace" // several packages of a workspace that can be started
	KindDirectory = "directory" // several directories with a program, none at the root
)

// Choice answers an *Ambiguous error.
type Choice struct {
	Kind  string // a Kind constant
	Value string // Value of one of its options
}

// Option is one of the possible answers to an *Ambiguous error.
type Option struct {
	Value string // as in a Choice
	Why   string // what was seen: "go.mod", "package.json has scripts.start"
}

// Ambiguous is the error for a tree that can be built in more than one way. A Choice
// given to Detect decides it.
type Ambiguous struct {
	Kind    string
	Problem string // one sentence without a full stop
	Options []Option
}

func (e *Ambiguous) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:", e.Problem)
	for _, o := range e.Options {
		fmt.Fprintf(&b, "\n  %s (%s)", o.Value, o.Why)
	}
	if e.Kind == KindDirectory {
		fmt.Fprintf(&b, "\nName one of them as the source directory: slipway plan PATH/%s", e.Options[0].Value)
		return b.String()
	}
	fmt.Fprintf(&b, "\nSay which, for example with `slipway init PATH --choose %s=%s`, which writes it into apprunner.yaml.", e.Kind, e.Options[0].Value)
	return b.String()
}

// Unwrap returns the mistake as the API reports it.
func (e *Ambiguous) Unwrap() error { return mistake(e.Error()) }

// Unknown is the error for a tree in which nothing is recognised, or too little to
// start a program.
type Unknown struct {
	Problem string   // one sentence without a full stop
	Looked  []string // files that were looked for
	Found   []string // what was seen that does not suffice
	Next    string   // what to do
}

func (e *Unknown) Error() string {
	var b strings.Builder
	b.WriteString(e.Problem + ".")
	if len(e.Looked) > 0 {
		b.WriteString("\nLooked for: " + strings.Join(e.Looked, ", ") + ".")
	}
	if len(e.Found) > 0 {
		b.WriteString("\nFound: " + strings.Join(e.Found, ", ") + ".")
	}
	b.WriteString("\n" + e.Next)
	return b.String()
}

// Unwrap returns the mistake as the API reports it.
func (e *Unknown) Unwrap() error { return mistake(e.Error()) }

// Malformed is the error for a file that can't be read as what it is.
type Malformed struct {
	File         string
	Line, Column int    // from 1; 0 when not known
	Problem      string // what is wrong, without a full stop
}

func (e *Malformed) Error() string { return e.position() + ": " + e.Problem + ". Correct the file." }

func (e *Malformed) position() string {
	switch {
	case e.Line == 0:
		return e.File
	case e.Column == 0:
		return fmt.Sprintf("%s:%d", e.File, e.Line)
	}
	return fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Column)
}

// Unwrap returns the mistake as the API reports it.
func (e *Malformed) Unwrap() error { return mistake(e.Error()) }

func mistake(text string) error { return slipway.Errorf(slipway.InvalidRequest, "%s", text) }
