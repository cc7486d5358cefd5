// Package policy is IAM's policy language: it parses JSON policy documents and
// decides whether the identity-based policies of a caller allow a request. An
// explicit Deny wins; what no statement allows is denied.
//
// It does no I/O and reads no clock. Package iam stores the documents; package
// gateway asks for decisions, with what it knows of a call. Slipway has no
// resource-based policies, trust policies, permission boundaries or service
// control policies.
//
// The grammar and the meaning of its elements:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
package policy
