package policy

import "slices"

// Request is one action of a caller on one resource.
type Request struct {
	Action   string // "apprunner:DeleteService"
	Resource string // an ARN, or "*" where the action knows no resource
	Context  Context
}

// Policy is a document and its name in decisions: the ARN of a managed policy,
// the name of an inline one.
type Policy struct {
	Name     string
	Document *Document
}

// Effect is the effect of a statement or of a decision.
type Effect string

// The effects. The zero value is the implicit denial: no statement applies.
const (
	Allow Effect = "Allow"
	Deny  Effect = "Deny"
)

// Decision is the result for a request, with its reason.
type Decision struct {
	Effect    Effect // Allow, Deny for an explicit denial, "" for an implicit one
	Policy    string // of the statement that decided; "" for an implicit denial
	Statement int    // its index in the document, from 0
	Sid       string // its name, where it has one
}

// Allowed reports whether the request is allowed.
func (d Decision) Allowed() bool { return d.Effect == Allow }

// Decide decides whether the policies together allow the request. The order of
// policies and of statements does not change the effect; if several statements
// have that effect, the decision names the first.
func Decide(r Request, policies []Policy) Decision {
	var d Decision
	for _, p := range policies {
		for i := range p.Document.statements {
			s := &p.Document.statements[i]
			if s.effect == d.Effect || !s.applies(r) {
				continue
			}
			d = Decision{Effect: s.effect, Policy: p.Name, Statement: i, Sid: s.sid}
			if d.Effect == Deny {
				return d
			}
		}
	}
	return d
}

// applies reports whether the statement applies to the request.
func (s *statement) applies(r Request) bool {
	if matchesAction(s.actions, r.Action) == s.notAction {
		return false
	}
	if s.matchesResource(r) == s.notResource {
		return false
	}
	return !slices.ContainsFunc(s.conditions, func(c condition) bool { return !c.holds(r.Context, s.effect) })
}

func (s *statement) matchesResource(r Request) bool {
	for _, p := range s.resources {
		switch p.match(r.Resource, r.Context, segments) {
		case matched:
			return true
		case unresolved:
			// What a NotResource leaves out is not known without the variable's
			// value: an Allow then leaves out everything.
			if s.notResource && s.effect == Allow {
				return true
			}
		}
	}
	return false
}
