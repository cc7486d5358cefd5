package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
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
	cmd := group("connection", "Connect the server to providers of source code", `Connection manages the connections through which services reach their source
code. Any client of App Runner's API can create one. It is then completed here,
with an access token of the provider.`)
	cmd.AddCommand(newConnectionLsCommand(m), newConnectionShowCommand(m), newConnectionCreateCommand(m), newConnectionCompleteCommand(m), newConnectionWebhookCommand(m), newConnectionRmCommand(m))
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

// connectionFlags are the flags of connection create.
type connectionFlags struct {
	provider, host, keyFile string
	ssh                     bool
}

// check checks the flags and the name of a new connection.
func (f connectionFlags) check(name string) error {
	if err := connectionNames.check(name); err != nil {
		return err
	}
	switch provider := strings.ToLower(f.provider); {
	case !slices.Contains(providers, provider):
		return fmt.Errorf("--provider is %s; it can be %s", shownValue(f.provider), orList(providers))
	case f.host == "" && (provider == "gitea" || provider == "git"):
		return fmt.Errorf("--provider %s needs --host, the host of the repositories", provider)
	case strings.ContainsAny(f.host, "/ @"):
		return fmt.Errorf("--host is %s; write the name of the host only, such as git.example.com or git.example.com:8443, without https:// and path", shownValue(f.host))
	}
	return nil
}

// providers are the values of --provider.
var providers = []string{"github", "bitbucket", "gitlab", "gitea", "git"}

// plain reports whether App Runner's own call can create the connection.
func (f connectionFlags) plain() bool {
	provider := types.ProviderType(strings.ToUpper(f.provider))
	return !f.ssh && f.host == "" && f.keyFile == "" && (provider == types.ProviderTypeGithub || provider == types.ProviderTypeBitbucket)
}

func newConnectionCreateCommand(m *Main) *cobra.Command {
	var f connectionFlags
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a connection",
		Long: `Create creates a connection to a provider of source code. It stays in
PENDING_HANDSHAKE until ` + "`slipway connection complete`" + ` gives it a token.

With --ssh repositories are read by ssh with a deploy key. The server makes the key and
prints the public half, to be added to the repository or the account at the provider;
--key-file gives a private key of your own instead. Such a connection needs no token.

The providers gitea (also for Forgejo) and git, a plain git server, need --host: the
host of the repositories' URLs, with a port if they have one. A credential is sent to
that host only.`,
		Example: `  slipway connection create code --provider github
  slipway connection complete code < token
  slipway connection create team --provider gitlab --host gitlab.example.com
  slipway connection create mine --provider git --host git.example.com --ssh`,
		Args: argCount(1, 1, "a name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(args[0]); err != nil {
				return usageError(cmd, "%v", err)
			}
			if f.plain() {
				return m.createConnection(cmd.Context(), args[0], types.ProviderType(strings.ToUpper(f.provider)))
			}
			return m.createCodeConnection(cmd.Context(), args[0], f)
		},
	}
	cmd.Flags().StringVar(&f.provider, "provider", "github", "provider that hosts the code: github, bitbucket, gitlab, gitea or git")
	cmd.Flags().StringVar(&f.host, "host", "", "`host` of the repositories, if it is not the provider's own")
	cmd.Flags().BoolVar(&f.ssh, "ssh", false, "read repositories by ssh with a deploy key")
	cmd.Flags().StringVar(&f.keyFile, "key-file", "", "`file` with the private key to use with --ssh, - for standard input (default: the server makes one)")
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

func (m *Main) createCodeConnection(ctx context.Context, name string, f connectionFlags) error {
	in := client.NewCodeConnection{ConnectionName: name, ProviderType: strings.ToUpper(f.provider), Host: f.host}
	if f.ssh || f.keyFile != "" {
		in.Method = "SSH"
	}
	if f.keyFile != "" {
		key, err := m.privateKey(f.keyFile)
		if err != nil {
			return err
		}
		in.PrivateKey = string(key)
	}
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	out, err := c.CreateCodeConnection(ctx, in)
	if err != nil {
		return err
	}
	if out.PublicKey != "" {
		return m.printCodeConnection(out, fmt.Sprintf("Connection %s is created. Add this deploy key to the repository at its host; it needs to read only:\n\n%s", name, out.PublicKey))
	}
	return m.printCodeConnection(out, fmt.Sprintf("Connection %s is created; `slipway connection complete %s` makes it usable.", name, name))
}

// privateKey reads a private key from a file, or from standard input for "-".
func (m *Main) privateKey(file string) ([]byte, error) {
	const most = 64 << 10
	in := m.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, &client.Problem{Misuse: true, Text: "the private key can't be read: " + err.Error()}
		}
		defer f.Close()
		in = f
	}
	key, err := io.ReadAll(io.LimitReader(in, most))
	if err != nil {
		return nil, fmt.Errorf("read the private key: %w", err)
	}
	return key, nil
}

func newConnectionShowCommand(m *Main) *cobra.Command {
	return &cobra.Command{
		Use:               "show NAME",
		ValidArgsFunction: m.completing(listConnections),
		Short:             "Show a connection",
		Long:              `Show shows a connection: its provider, its host, and the public half of its deploy key.`,
		Args:              argCount(1, 1, "the name of a connection"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := m.connect(cmd.Context())
			if err != nil {
				return err
			}
			v, err := c.CodeConnection(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			text := fmt.Sprintf("Name:     %s\nARN:      %s\nProvider: %s\nStatus:   %s", v.Connection.ConnectionName, v.Connection.ConnectionArn, v.Connection.ProviderType, v.Connection.Status)
			if v.Host != "" {
				text += "\nHost:     " + v.Host
			}
			if v.PublicKey != "" {
				text += "\nKey:      " + v.PublicKey
			}
			return m.printCodeConnection(v, text)
		},
	}
}

// printCodeConnection prints text, or with --json the connection as the API shows it.
func (m *Main) printCodeConnection(v client.CodeConnection, text string) error {
	if m.json {
		return m.printJSON(v)
	}
	_, err := fmt.Fprintln(m.Stdout, text)
	return err
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
		Use:               "complete NAME",
		ValidArgsFunction: m.completing(listConnections),
		Short:             "Complete a connection's handshake",
		Long: `Complete gives the server an access token of the provider. The server verifies
the token with the provider and stores it encrypted. For GitHub it is a personal
access token or an installation token of an app; for Bitbucket an access token,
or user:password with an API token or app password; for GitLab and Gitea a personal,
project or group access token; for a plain git server user:password. That one can't be
asked: it verifies the token when a repository is read.

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
	yes := false
	cmd := &cobra.Command{
		Use:               "rm NAME",
		ValidArgsFunction: m.completing(listConnections),
		Short:             "Delete a connection",
		Long: `Rm deletes a connection and its token. A connection that a service uses can't be
deleted.` + confirmNote,
		Args: argCount(1, 1, "the name of a connection"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := m.confirm(cmd, yes, "Delete connection %s and its token?", args[0]); err != nil {
				return err
			}
			return m.removeConnection(cmd.Context(), args[0])
		},
	}
	addYesFlag(cmd, &yes)
	return cmd
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
