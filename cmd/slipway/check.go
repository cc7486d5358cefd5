package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

type checkCommand struct {
	m *Main

	name         string
	port         string
	startCommand string
	env          []string
	envFiles     []string
	choices      []string
	verbose      bool
}

func newCheckCommand(m *Main) *cobra.Command {
	c := &checkCommand{m: m}
	cmd := &cobra.Command{
		Use:   "check [DIR]",
		Short: "Build a directory and try its start command",
		Long: `Check tries whether a directory with source code (default: the current one) would
deploy: it reads the configuration, sends what the server does not have, builds it with
the caches, and starts it once in a sandbox, to see whether it listens where a service
must. It makes no service, and the service of that name, if there is one, is not
touched: only the settings and the caches of its builds are used.

The result is one line, such as "It listens on 8080 after 0.4 s.", or what is wrong and
what to change; then the exit code is 1. A check reads no secrets: --env sets variables
for it.`,
		Example: "  slipway check\n  slipway check services/shop --env DATABASE_URL=sqlite:///tmp/db",
		Args:    argCount(0, 1, "a directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.run(cmd, append(args, ".")[0])
		},
	}
	c.addFlags(cmd.Flags())
	return cmd
}

func (c *checkCommand) addFlags(f *pflag.FlagSet) {
	f.StringVar(&c.name, "name", "", "the `name` of the service that it would be deployed to (default: derived from the directory's)")
	f.StringVar(&c.port, "port", "", "`port` the application listens on (default: the one that the code names, else 8080)")
	f.StringVar(&c.startCommand, "start-command", "", "`command` to run instead of that of the code")
	f.StringArrayVarP(&c.env, "env", "e", nil, envUsage)
	f.StringArrayVar(&c.envFiles, "env-file", nil, envFileUsage)
	f.StringArrayVar(&c.choices, "choose", nil, chooseUsage)
	f.BoolVarP(&c.verbose, "verbose", "v", false, "show the whole output of the build and of the application")
}

func (c *checkCommand) run(cmd *cobra.Command, path string) error {
	env, err := readVariables(c.envFiles, c.env, c.m.lookup)
	given := cmd.Flags().Changed
	if err == nil && given("name") {
		err = checkServiceName("--name", c.name)
	}
	if err == nil && given("port") {
		err = checkPort("--port", c.port)
	}
	if err == nil && given("start-command") {
		err = checkStartCommand(c.startCommand)
	}
	if err != nil {
		return usageError(cmd, "%v", err)
	}
	if !isSource(path) {
		return &client.Problem{Text: path + " is no directory with source code", Hint: "`slipway up` deploys images."}
	}
	d, err := c.m.openSource("check", path, c.choices)
	if err != nil {
		return err
	}
	defer d.Close()
	if c.name == "" {
		c.name = defaultServiceName(sourceTitle(path, d))
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	server, err := (&upCommand{m: c.m}).server(ctx, path)
	if err != nil {
		return err
	}
	err = c.check(ctx, func(ctx context.Context, conn *client.Client) (code, error) { return c.m.send(ctx, conn, d) }, env)
	cancel()
	if server != nil {
		err = errors.Join(err, server.Wait())
	}
	return err
}

// checked is what `check --json` prints.
type checked struct {
	Passed  bool
	Message string
	Next    string `json:",omitempty"`
	Lines   []string
}

func (c *checkCommand) check(ctx context.Context, send func(context.Context, *client.Client) (code, error), env map[string]string) error {
	conn, err := c.m.connect(ctx)
	if err != nil {
		return err
	}
	sent, err := send(ctx, conn)
	if err != nil {
		return err
	}
	r := client.CheckRequest{RepositoryURL: sent.url, SourceDirectory: sent.directory, Port: c.port, StartCommand: c.startCommand, Environment: env}
	if found, _, err := conn.FindService(ctx, c.name); err == nil && found != nil {
		r.ServiceArn = aws.ToString(found.ServiceArn)
	}
	id, err := conn.StartCheck(ctx, r)
	if err != nil && r.ServiceArn != "" { // the caches of a service are for those who may change it
		r.ServiceArn = ""
		id, err = conn.StartCheck(ctx, r)
	}
	if err != nil {
		return err
	}
	p := c.m.progress()
	defer p.Clear()
	out := checked{Lines: []string{}}
	lines := quiet{p: p, all: c.verbose}
	begun := c.m.Now()
	status, err := conn.FollowCheck(ctx, id, func(line string) {
		out.Lines = append(out.Lines, line)
		lines.line(line, c.m.Now().Sub(begun))
	})
	if err != nil {
		return c.stop(ctx, conn, id, err)
	}
	out.Passed, out.Message, out.Next = status.Status == "SUCCEEDED", status.Message, status.Next
	return c.report(out, &lines, p)
}

// stop ends the check of an interrupted command.
func (c *checkCommand) stop(ctx context.Context, conn *client.Client, id string, err error) error {
	if ctx.Err() == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = conn.StopCheck(ctx, id) // it ends by itself, too
	return err
}

func (c *checkCommand) report(out checked, lines *quiet, p *term.Progress) error {
	failed := error(nil)
	if !out.Passed {
		lines.failed()
		failed = &client.Problem{Text: strings.TrimSuffix(out.Message, "."), Hint: out.Next}
	}
	p.Clear()
	if c.m.json {
		return errors.Join(c.m.printJSON(out), failed)
	}
	if failed != nil {
		return failed
	}
	_, err := fmt.Fprintln(c.m.Stdout, c.m.outStyle().Render(term.Good, out.Message))
	return err
}
