package main

import "github.com/spf13/cobra"

func newIAMCommand(m *Main) *cobra.Command {
	cmd := group("iam", "Manage users, access keys and policies", `Iam manages users, their access keys and the policies that allow them to make
calls. Policies are written in the language of AWS IAM, with the action names,
resources and condition keys of App Runner; pushing to the registry and pulling
from it need ECR's actions. A call that no policy allows is denied, and a Deny
always wins. The root user, whose access key is in the server's data directory,
may do everything.

The AWS CLI ("aws iam") and Terraform can make the same calls.`)
	user := group("user", "Manage users", "User creates, lists and deletes users.")
	user.AddCommand(newUserAddCommand(m), newUserLsCommand(m), newUserRmCommand(m))
	key := group("key", "Manage access keys", "Key creates, lists, activates, deactivates and deletes the access keys of users.\nThe root user is named root.")
	key.AddCommand(newKeyAddCommand(m), newKeyLsCommand(m), newKeyStatusCommand(m, false), newKeyStatusCommand(m, true), newKeyRmCommand(m))
	policy := group("policy", "Manage policies", `Policy manages policy documents. A managed policy is attached to users; with --user
a command works on an inline policy of that user. AWS managed policies, such as
AWSAppRunnerReadOnlyAccess, can be attached too.`)
	policy.AddCommand(newPolicyPutCommand(m), newPolicyLsCommand(m), newPolicyShowCommand(m), newPolicyRmCommand(m),
		newPolicyAttachCommand(m, true), newPolicyAttachCommand(m, false))
	cmd.AddCommand(user, key, policy, newSimulateCommand(m))
	return cmd
}
