// Slipway runs web services from container images, as AWS App Runner did. This
// is its only program: `slipway serve` is the server, all other verbs are its
// client.
//
// Client verbs use only the public wire API, one file each. Flags and
// environment variables are read here and nowhere else.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

// The program's exit codes.
const (
	exitOK          = 0
	exitFailed      = 1   // the operation failed, was rolled back or could not be started
	exitUsage       = 2   // the command line is wrong
	exitInterrupted = 130 // Ctrl-C, as a shell reports SIGINT
)

func main() {
	serveSandbox()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	m := &Main{
		Stdin:  os.Stdin,
		Stdout: os.Stdout,
		Stderr: os.Stderr,
		Getenv: os.Getenv,
		Now:    time.Now,

		LookupEnv: os.LookupEnv,
	}
	m.StartServer = m.serverStarter()
	code := m.Run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// Main is the program with its streams and environment. Tests run it with
// buffers.
type Main struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	LookupEnv      func(string) (string, bool) // nil: what Getenv returns, unless it is empty
	Now            func() time.Time

	// StartServer starts a server in this process, for `slipway up` when none
	// answers. If it is nil, up reports that there is none.
	StartServer StartServer

	settings client.Settings // the flags every client verb has
	json     bool
	printed  bool // the document of --json
	streams  bool // --json prints a document a line, for as long as the command runs
}

// StartServer starts a server and returns once it serves. The server ends with
// ctx.
type StartServer func(ctx context.Context, want ServerOptions) (*Server, error)

// ServerOptions are what `slipway up` sets for the server that it starts. The
// rest are the defaults of `slipway serve`.
type ServerOptions struct {
	DataDir string // absolute
	APIAddr string // host:port
	Region  string // "" for the default
}

// Server is a server that runs in this process.
type Server struct {
	Endpoint    string       // of its API: http://host:port
	Credentials string       // path of the credentials file it wrote
	Wait        func() error // blocks until the server has ended; nil when it was asked to
}

// Run runs the program with its arguments, without the program's name, and
// returns the exit code. All output is written by then.
func (m *Main) Run(ctx context.Context, args []string) int {
	m.guardTerminals()
	root := m.newRoot()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		err = m.finish(cmd)
	}
	m.json = m.json || wantsJSON(args)
	return m.report(err)
}

func (m *Main) newRoot() *cobra.Command {
	root := group("slipway", "Run web services from container images", `Slipway runs web services from container images, as AWS App Runner did: one
command, a URL, health checks, scaling, pause and resume.

A service is given by its name or its ARN. Commands write progress to standard
error and results to standard output. With --json every command prints exactly one
JSON document to standard output: the API's own where there is one, {} if there is
nothing to say, with times in seconds since 1970. An error is such a document, too,
{"Error": {"Code", "Message", "Hint"}}, and said on standard error as well; Code is
the API's, or InvalidCommandLine, ServerUnreachable, Interrupted or Failed. The
document of an operation that failed is that of the operation, with its Status. With
-f, logs and audit print a document a line (JSON Lines) until they end.

Commands that destroy something ask for confirmation on a terminal. Elsewhere they
need --yes.

The exit code is 0 on success, 1 when the operation failed, was rolled back or
could not be started, 2 when the command line is wrong, and 130 after Ctrl-C,
which ends the waiting but never an operation.`)
	root.Example = `  slipway up ./image.tar --name shop --env GREETING=hello
  slipway ls
  slipway logs -f shop
  slipway pause shop`
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetIn(m.Stdin)
	root.SetOut(m.Stdout)
	root.SetErr(m.Stderr)
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(newHelpCommand())
	root.CompletionOptions.HiddenDefaultCmd = false
	m.addClientFlags(root)

	root.AddGroup(
		&cobra.Group{ID: groupServices, Title: "Services:"},
		&cobra.Group{ID: groupServer, Title: "Server and tools:"},
	)
	root.SetHelpCommandGroupID(groupServer)
	root.SetCompletionCommandGroupID(groupServer)
	root.AddCommand(m.commands()...)
	root.InitDefaultCompletionCmd()
	refuseOtherShells(child(root, "completion"))
	m.addVersionFlags(root)
	m.completeFlags(root)
	return root
}

// commands returns the client's verbs and the server's.
func (m *Main) commands() []*cobra.Command {
	services := []*cobra.Command{
		newUpCommand(m),
		newLsCommand(m),
		newTopCommand(m),
		newDescribeCommand(m),
		newExplainCommand(m),
		newOpsCommand(m),
		newLogsCommand(m),
		newSBOMCommand(m),
		newDeployCommand(m),
		newPauseCommand(m),
		newResumeCommand(m),
		newRmCommand(m),
		newDomainCommand(m),
	}
	server := []*cobra.Command{
		newLintCommand(m),
		newPlanCommand(m),
		newCheckCommand(m),
		newInitCommand(m),
		newRuntimesCommand(m),
		newBuildCommand(m),
		newServeCommand(m),
		newUpgradeCommand(m), newUninstallCommand(m),
		newImageCommand(m),
		newSecretCommand(m),
		newBackupCommand(m), newRestoreCommand(m), newKeyCommand(m), newTrustCommand(m),
		newConnectionCommand(m),
		newHooksCommand(m),
		newIAMCommand(m),
		newAuditCommand(m),
		newEnvCommand(m),
		newVersionCommand(m),
		newManCommand(m),
	}
	for _, c := range services {
		c.GroupID = groupServices
	}
	for _, c := range server {
		c.GroupID = groupServer
	}
	return append(services, server...)
}

const (
	groupServices = "services"
	groupServer   = "server"
)

// addClientFlags adds the flags of all client verbs. They are persistent flags of
// the root, so that they may precede or follow the verb.
func (m *Main) addClientFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&m.settings.Endpoint, "endpoint", "", "`URL` of the server, http://host:port (env SLIPWAY_ENDPOINT; default "+client.DefaultEndpoint+")")
	f.StringVar(&m.settings.Region, "region", "", "`region` to sign requests for (env SLIPWAY_REGION; default: the credentials file's, AWS_REGION, us-east-1)")
	f.StringVar(&m.settings.Credentials, "credentials", "", "AWS credentials `file` with the access key (env SLIPWAY_CREDENTIALS; default: the AWS environment, then the data directory's)")
	f.StringVar(&m.settings.DataDir, "data-dir", "", "`directory` of the server's data (env SLIPWAY_DATA_DIR; default /var/lib/slipway as root, else slipway in the XDG data directory)")
	f.BoolVar(&m.json, "json", false, "print JSON")
}

// target returns the server that the flags and the environment name.
func (m *Main) target() (client.Target, error) { return m.settings.Resolve(m.Getenv) }

// connect returns a client of that server.
func (m *Main) connect(ctx context.Context) (*client.Client, error) {
	t, err := m.target()
	if err != nil {
		return nil, err
	}
	return client.Connect(ctx, t)
}

// service returns a client of that server and the ARN of a service.
func (m *Main) service(ctx context.Context, nameOrARN string) (*client.Client, string, error) {
	c, err := m.connect(ctx)
	if err != nil {
		return nil, "", err
	}
	arn, err := c.ServiceARN(ctx, nameOrARN)
	return c, arn, err
}

// lookup returns a variable of the environment, and whether it is set.
func (m *Main) lookup(name string) (string, bool) {
	if m.LookupEnv != nil {
		return m.LookupEnv(name)
	}
	v := m.Getenv(name)
	return v, v != ""
}

func (m *Main) outStyle() term.Style { return term.StyleFor(m.Stdout, m.Getenv) }
func (m *Main) errStyle() term.Style { return term.StyleFor(m.Stderr, m.Getenv) }

// group returns a command with subcommands. Without one it prints its help.
func group(use, short, long string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
}

// verb returns a command's path without the program's name.
func verb(cmd *cobra.Command) string {
	_, name, _ := strings.Cut(cmd.CommandPath(), " ")
	return name
}

// argCount checks the number of a verb's arguments.
func argCount(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usageError(cmd, "%s needs %s", verb(cmd), what)
		case most == 0 && len(args) > 0:
			return usageError(cmd, "%s takes no arguments; unexpected %q", verb(cmd), args[0])
		case len(args) > most:
			return usageError(cmd, "%s takes only %s; unexpected %q", verb(cmd), what, args[most])
		}
		return nil
	}
}
