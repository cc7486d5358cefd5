package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
)

func newEnvCommand(m *Main) *cobra.Command {
	return &cobra.Command{
		Use:   "env",
		Short: "Print the environment that points AWS clients at the server",
		Long: `Env prints shell commands that make the AWS CLI, the AWS SDKs and Terraform in
this shell use the server for App Runner and for the other services that it
answers: logs, ECR, secrets, parameters, IAM, STS and CloudTrail. All other AWS
services keep their endpoints. If the server does not recognize the access key in
the environment, the key in its data directory replaces it.

The AWS CLI reads AWS_ENDPOINT_URL_APPRUNNER since 2.13 (1.29). Older versions,
such as Debian 12's, need --endpoint-url; an alias for them is printed as a
comment.`,
		Example: `  eval "$(slipway env)"
  aws apprunner list-services`,
		Args: argCount(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return m.environment(cmd.Context()) },
	}
}

// variable is an environment variable; an empty value unsets it.
type variable struct{ name, value string }

func (m *Main) environment(ctx context.Context) error {
	t, err := m.target()
	if err != nil {
		return err
	}
	c, err := client.ConnectKnown(ctx, t)
	if err != nil {
		return err
	}
	vars := m.variables(c)
	if m.json {
		doc := map[string]string{}
		for _, v := range vars {
			if v.value != "" {
				doc[v.name] = v.value
			}
		}
		return m.printJSON(doc)
	}
	return writeShell(m.Stdout, vars, t)
}

func (m *Main) variables(c *client.Client) []variable {
	endpoint := c.Target.Endpoint.String()
	vars := []variable{
		{"SLIPWAY_ENDPOINT", endpoint},
		{"AWS_ENDPOINT_URL_APPRUNNER", endpoint},
		{"AWS_ENDPOINT_URL_CLOUDTRAIL", endpoint},
		{"AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", endpoint},
		{"AWS_ENDPOINT_URL_ECR", endpoint},
		{"AWS_ENDPOINT_URL_IAM", endpoint},
		{"AWS_ENDPOINT_URL_SECRETS_MANAGER", endpoint},
		{"AWS_ENDPOINT_URL_SSM", endpoint},
		{"AWS_ENDPOINT_URL_STS", endpoint},
		{"AWS_REGION", c.Identity.Region},
		{"AWS_DEFAULT_REGION", c.Identity.Region}, // boto3 reads this one only
	}
	if c.Identity.File == "" {
		return vars // AWS clients find the key themselves
	}
	vars = append(vars, variable{"AWS_SHARED_CREDENTIALS_FILE", c.Identity.File})
	if m.Getenv("AWS_PROFILE") != "" {
		vars = append(vars, variable{"AWS_PROFILE", c.Identity.Profile})
	}
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		if m.Getenv(name) != "" { // it takes precedence over the file
			vars = append(vars, variable{name, ""})
		}
	}
	return vars
}

func writeShell(w io.Writer, vars []variable, t client.Target) error {
	var b strings.Builder
	for _, v := range vars {
		if v.value == "" {
			fmt.Fprintf(&b, "unset %s\n", v.name)
			continue
		}
		fmt.Fprintf(&b, "export %s=%s\n", v.name, shellQuote(v.value))
	}
	fmt.Fprintf(&b, "# For an AWS CLI before 2.13 (Debian 12 has 2.9):\n")
	fmt.Fprintf(&b, "# alias aws=%s\n", shellQuote("aws --endpoint-url "+t.Endpoint.String()))
	if _, err := os.Stat(t.AuthorityFile()); err == nil && t.Endpoint.Scheme == "https" {
		fmt.Fprintf(&b, "# For AWS clients that call nothing but this server, unless `slipway trust` has installed its authority:\n")
		fmt.Fprintf(&b, "# export AWS_CA_BUNDLE=%s\n", shellQuote(t.AuthorityFile()))
	}
	fmt.Fprintf(&b, "# Run this to use them: eval \"$(slipway env)\"\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// shellQuote returns s as one word of a POSIX shell.
func shellQuote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@%+,=", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
