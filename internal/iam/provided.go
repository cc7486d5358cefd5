package iam

import (
	"time"

	"github.com/openslipway/slipway"
)

// provided is a managed policy that every account has and nobody can change.
type provided struct {
	slipway.ManagedPolicy
	document string
}

// providedPrefix begins the ARNs of the provided policies.
const providedPrefix = "arn:aws:iam::aws:policy/"

// providedPolicies returns AWS's managed policies that make sense here, with
// AWS's documents.
// https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html
func providedPolicies() []provided {
	return []provided{
		provide("AdministratorAccess", "ANPAIWMBCKSKIEE64ZLYK", "Provides full access to AWS services and resources.", `{
  "Version": "2012-10-17",
  "Statement": [{ "Effect": "Allow", "Action": "*", "Resource": "*" }]
}`),
		provide("AWSAppRunnerFullAccess", "ANPASLIPWAYAPPRUNNER1", "Grants permissions to all App Runner actions.", `{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": "iam:CreateServiceLinkedRole",
      "Resource": "arn:aws:iam::*:role/aws-service-role/apprunner.amazonaws.com/AWSServiceRoleForAppRunner",
      "Condition": { "StringLike": { "iam:AWSServiceName": "apprunner.amazonaws.com" } }
    },
    {
      "Effect": "Allow",
      "Action": "iam:PassRole",
      "Resource": "*",
      "Condition": { "StringLike": { "iam:PassedToService": "apprunner.amazonaws.com" } }
    },
    { "Sid": "AppRunnerAdminAccess", "Effect": "Allow", "Action": "apprunner:*", "Resource": "*" }
  ]
}`),
		provide("AWSAppRunnerReadOnlyAccess", "ANPASLIPWAYAPPRUNNER2", "Grants permissions to list and view details about App Runner resources.", `{
  "Version": "2012-10-17",
  "Statement": [{ "Effect": "Allow", "Action": ["apprunner:List*", "apprunner:Describe*"], "Resource": "*" }]
}`),
	}
}

func provide(name, id, description, document string) provided {
	return provided{slipway.ManagedPolicy{
		ARN: providedPrefix + name, ID: id, Name: name, Path: "/", Description: description, DefaultVersion: 1,
		CreatedAt: time.Date(2022, 1, 11, 4, 2, 0, 0, time.UTC), UpdatedAt: time.Date(2022, 1, 11, 4, 2, 0, 0, time.UTC),
	}, document}
}

// providedPolicy returns the provided policy of an ARN.
func providedPolicy(arn string) (provided, bool) {
	for _, p := range providedPolicies() {
		if p.ARN == arn {
			return p, true
		}
	}
	return provided{}, false
}
