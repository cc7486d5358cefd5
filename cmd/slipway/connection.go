package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/spf13/cobra"
	xterm "golang.org/x/term"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

func newConnectionCommand(m *Main) *cobra.Command {
	cmd := group("connection", "Connect the server to GitHub and Bitbucket", `Connection manages the connections through which services reach their source
code. Any client of App Runner's API can create one. It is then completed here,
with an access token of the provider.`)
	cmd.AddCommand(newConnectionLsCommand(m), newConnectionCreateCommand(m), newConnectionCompleteCommand(m), newConnectionWebhookCommand(m), newConnectionRmCommand(m))
	return cmd
}

func newConnectionLsCommand(m *Main) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List connections",
		Long: `Ls lists all connections by name. With --json it prints the reply of
ListConnections, all pages in one.`,
		Args: argCount(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return m.listConnections(cmd.Context()) },
	}
}

func (m *Main) listConnections(ctx context.Context) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	list, err := c.Connections(ctx)
	if err != nil {
		return err
	}
	if m.json {
		return m.printJSON(struct{ ConnectionSummaryList []apiJSON }{apiList(list)})
	}
	if len(list) == 0 {
		m.progress().Say(term.Plain, "No connections yet. `slipway connection create NAME` creates one.")
		return nil
	}
	t := term.Table{Head: []string{"NAME", "PROVIDER", "STATUS", "CREATED"}}
	for _, v := range list {
		t.Add(
			term.Cell{Text: aws.ToString(v.ConnectionName)},
			term.Cell{Text: string(v.ProviderType)},
			term.Cell{Text: string(v.Status), Tone: connectionTone(v.Status)},
			term.Cell{Text: term.Ago(m.Now(), aws.ToTime(v.CreatedAt))},
		)
	}
	return t.Write(m.Stdout, m.outStyle())
}

func connectionTone(s types.ConnectionStatus) term.Tone {
	switch s {
	case types.ConnectionStatusAvailable:
		return term.Good
	case types.ConnectionStatusPendingHandshake:
		return term.Warn
	case types.ConnectionStatusError:
		return term.Bad
	}
	return term.Faint
}

func newConnectionCreateCommand(m *Main) *cobra.Command {
	var provider string
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "Create a connection",
		Long:    `Create creates a connection. It stays in PENDING_HANDSHAKE until ` + "`slipway\nconnection complete`" + ` gives it a token.`,
		Example: "  slipway connection create code --provider github\n  slipway connection complete code < token",
		Args:    argCount(1, 1, "a name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.createConnection(cmd.Context(), args[0], types.ProviderType(strings.ToUpper(provider)))
		},
	}
	cmd.Flags().StringVar(&provider, "provider", "github", "provider that hosts the code: github or bitbucket")
	return cmd
}

func (m *Main) createConnection(ctx context.Context, name string, provider types.ProviderType) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	out, err := c.API.CreateConnection(ctx, &apprunner.CreateConnectionInput{ConnectionName: &name, ProviderType: provider})
	if err != nil {
		return err
	}
	return m.printConnection(out.Connection, fmt.Sprintf("Connection %s is created; `slipway connection complete %s` makes it usable.", name, name))
}

// printConnection prints text, or with --json the connection as the API shows
// it.
func (m *Main) printConnection(v *types.Connection, text string) error {
	if m.json {
		return m.printJSON(struct{ Connection apiJSON }{apiJSON{v}})
	}
	_, err := fmt.Fprintln(m.Stdout, text)
	return err
}

// tokenVariable is the environment variable with a provider's token.
const tokenVariable = "SLIPWAY_CONNECTION_TOKEN"

func newConnectionCompleteCommand(m *Main) *cobra.Command {
	var token string
	cmd := &cobra.Command{
		Use:   "complete NAME",
		Short: "Complete a connection's handshake",
		Long: `Complete gives the server an access token of the provider. The server verifies
the token with the provider and stores it encrypted. For GitHub it is a personal
access token or an installation token of an app; for Bitbucket an access token,
or user:password with an API token or app password.

The token is read from ` + tokenVariable + `, from standard input or from --token;
other users of this machine can see --token in the list of processes. Completing
a connection again replaces its token.`,
		Example: `  slipway connection complete code < token
  gh auth token | slipway connection complete code`,
		Args: argCount(1, 1, "the name of a connection"),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := m.token(args[0], token)
			if err != nil {
				return err
			}
			return m.completeConnection(cmd.Context(), args[0], t)
		},
	}
	cmd.Flags().StringVar(&token, "token", "", "the `token`; visible to other users of this machine")
	return cmd
}

// token returns the token for a connection. On a terminal it asks for it, without
// echo.
func (m *Main) token(name, given string) (string, error) {
	if given == "" {
		given = m.Getenv(tokenVariable)
	}
	if given == "" && term.IsTerminal(m.Stdin) {
		fmt.Fprintf(m.Stderr, "Token for %s: ", name)
		typed, err := xterm.ReadPassword(int(m.Stdin.(*os.File).Fd()))
		fmt.Fprintln(m.Stderr)
		if err != nil {
			return "", fmt.Errorf("read the token: %w", err)
		}
		given = string(typed)
	} else if given == "" {
		var err error
		if given, err = m.secretLine(); err != nil {
			return "", err
		}
	}
	if given = strings.TrimSpace(given); given == "" {
		return "", &client.Problem{Misuse: true, Text: "no token was given", Hint: "Give it in " + tokenVariable + " or on standard input."}
	}
	return given, nil
}

// secretLine reads a secret from the first line of standard input and trims
// white space.
func (m *Main) secretLine() (string, error) {
	line, err := bufio.NewReader(io.LimitReader(m.Stdin, 64<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read standard input: %w", err)
	}
	return strings.TrimSpace(line), nil
}

func (m *Main) completeConnection(ctx context.Context, name, token string) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	h, err := c.CompleteConnection(ctx, name, token)
	if err != nil {
		return err
	}
	if h.Refusal != "" {
		return &client.Problem{
			Text: fmt.Sprintf("%s refused the token: %s", h.Connection.ProviderType, h.Refusal),
			Hint: fmt.Sprintf("Connection %s is now %s. Complete it again with another token.", name, h.Connection.Status),
		}
	}
	return m.printConnection(&h.Connection, fmt.Sprintf("Connection %s is %s.", name, h.Connection.Status))
}

func newConnectionRmCommand(m *Main) *cobra.Command {
	return &cobra.Command{
		Use:   "rm NAME",
		Short: "Delete a connection",
		Long: `Rm deletes a connection and its token. A connection that a service uses can't be
deleted.`,
		Args: argCount(1, 1, "the name of a connection"),
		RunE: func(cmd *cobra.Command, args []string) error { return m.removeConnection(cmd.Context(), args[0]) },
	}
}

func (m *Main) removeConnection(ctx context.Context, name string) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	v, err := c.Connection(ctx, name)
	if err != nil {
		return err
	}
	out, err := c.API.DeleteConnection(ctx, &apprunner.DeleteConnectionInput{ConnectionArn: v.ConnectionArn})
	if err != nil {
		return err
	}
	return m.printConnection(out.Connection, fmt.Sprintf("Connection %s is deleted.", name))
}
