// Package iam is who may call: users, their access keys and their policies,
// managed through the calls of AWS IAM that its command line, the SDKs and
// Terraform make, and the calls of AWS STS that tell callers who they are and
// give them temporary credentials.
//
// It keeps and explains; it does not enforce. Package gateway asks it for the
// policies of a caller and decides by package policy. The root user is not
// kept here and no policy applies to it. There are no groups, roles or
// permission boundaries: calls about them are refused as unknown.
package iam
