package main

import "github.com/spf13/cobra"

func newIAMCommand(m *Main) *cobra.Command {
	cmd := group("iam", "Manage who may do what", `Iam manages users, their access keys and the policies that say what they may do.
Policies are written in the language of AWS IAM and decide every call by App
Runner's action names, resources and condition keys; a push to the registry or a
pull needs ECR's. What no policy allows is refused, and a Deny wins. The root
user, whose key is in the server's data directory, may do everything.

The same calls are answered to the AWS CLI ("aws iam") and to Terraform.`)
	user := group("user", "Manage users", "User adds, lists and removes users.")
	user.AddCommand(newUserAddCommand(m), newUserLsCommand(m), newUserRmCommand(m))
	key := group("key", "Manage access keys", "Key adds, lists, disables and removes the access keys of users.\nThe root user is named root.")
	key.AddCommand(newKeyAddCommand(m), newKeyLsCommand(m), newKeyStatusCommand(m, false), newKeyStatusCommand(m, true), newKeyRmCommand(m))
	policy := group("policy", "Manage policies", `Policy manages documents in IAM's language. A managed policy stands for itself and
is attached to users; with --user it is a part of one user. Policies that AWS
provides, such as AWSAppRunnerReadOnlyAccess, can be attached, too.`)
	policy.AddCommand(newPolicyPutCommand(m), newPolicyLsCommand(m), newPolicyShowCommand(m), newPolicyRmCommand(m),
		newPolicyAttachCommand(m, true), newPolicyAttachCommand(m, false))
	cmd.AddCommand(user, key, policy, newSimulateCommand(m))
	return cmd
}
