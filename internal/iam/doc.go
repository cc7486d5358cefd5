// Package iam manages who may call: users, their access keys and their policies.
// It answers the calls of AWS IAM that the command line, the SDKs and Terraform
// make, and the calls of AWS STS that describe callers and give them temporary
// credentials.
//
// It stores and explains policies; it does not enforce them. Package gateway
// reads the policies of a caller here and decides by package policy. The root
// user is not stored here and no policy applies to it. There are no groups, roles
// or permission boundaries: calls about them are refused as unknown.
package iam
