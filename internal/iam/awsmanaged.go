package iam

import (
	"time"

	"github.com/openslipway/slipway"
)

// awsManaged is a policy managed by AWS: every account has it and nobody can
// change it.
type awsManaged struct {
	slipway.ManagedPolicy
	document string
}

// awsManagedPrefix begins the ARNs of AWS-managed policies.
const awsManagedPrefix = "arn:aws:iam::aws:policy/"

// awsManagedPolicies returns the AWS-managed policies that apply here, with AWS's
// documents.
// https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html
func awsManagedPolicies() []awsManaged {
	return []awsManaged{
		newAWSManaged("AdministratorAccess", "ANPAIWMBCKSKIEE64ZLYK", "Provides full access to AWS services and resources.", `{
  "Version": "2012-10-17",
  "Statement": [{ "Effect": "Allow", "Action": "*", "Resource": "*" }]
}`),
		newAWSManaged("AWSAppRunnerFullAccess", "ANPASLIPWAYAPPRUNNER1", "Grants permissions to all App Runner actions.", `{
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
		newAWSManaged("AWSAppRunnerReadOnlyAccess", "ANPASLIPWAYAPPRUNNER2", "Grants permissions to list and view details about App Runner resources.", `{
  "Version": "2012-10-17",
  "Statement": [{ "Effect": "Allow", "Action": ["apprunner:List*", "apprunner:Describe*"], "Resource": "*" }]
}`),
	}
}

func newAWSManaged(name, id, description, document string) awsManaged {
	return awsManaged{slipway.ManagedPolicy{
		ARN: awsManagedPrefix + name, ID: id, Name: name, Path: "/", Description: description, DefaultVersion: 1,
		CreatedAt: time.Date(2022, 1, 11, 4, 2, 0, 0, time.UTC), UpdatedAt: time.Date(2022, 1, 11, 4, 2, 0, 0, time.UTC),
	}, document}
}

// awsManagedPolicy returns the AWS-managed policy of an ARN.
func awsManagedPolicy(arn string) (awsManaged, bool) {
	for _, p := range awsManagedPolicies() {
		if p.ARN == arn {
			return p, true
		}
	}
	return awsManaged{}, false
}
