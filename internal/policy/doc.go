// Package policy is IAM's policy language: it parses JSON policy documents and
// decides whether the identity-based policies of a caller allow a request. An
// explicit Deny wins, and what nothing allows is refused.
//
// It is pure: it reads no clock, no store and no network. Package iam keeps the
// documents and package gateway asks for the decision with what it knows of a
// call. Resource-based policies, trust policies, permission boundaries and
// service control policies are not here, for nothing of Slipway has them.
//
// The grammar and the meaning of its elements:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
package policy
