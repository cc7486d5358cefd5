//go:build linux

package main

import (
	"context"
	"log/slog"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/daemon"
)

// serverStarter returns what starts a server for `slipway up`.
func (m *Main) serverStarter() StartServer { return m.startServer }

// startServer starts a server in this process for `slipway up`, with the defaults
// and the environment variables of `slipway serve`. It logs only warnings, since
// up uses the terminal.
func (m *Main) startServer(ctx context.Context, want ServerOptions) (*Server, error) {
	cmd, c := m.serveCommand()
	if err := readEnvironment(c, cmd.Flags(), m.Getenv); err != nil {
		return nil, usageError(cmd, "%v", err)
	}
	c.DataDir, c.APIAddr = want.DataDir, want.APIAddr
	if want.Region != "" {
		c.Region = want.Region
	}
	if err := c.Check(); err != nil {
		return nil, usageError(cmd, "%v", err)
	}
	d, err := daemon.New(ctx, *c, m.logger(logAuto, slog.LevelWarn))
	if err != nil {
		return nil, &client.Problem{Text: "the server could not start: " + err.Error(), Hint: "Run `slipway serve` to see its log."}
	}
	done := make(chan error, 1)
	go func() {
		err := d.Run(ctx)
		d.Close() // before the program may end
		done <- err
	}()
	select {
	case err := <-done:
		return nil, err
	case <-d.Up():
	}
	at := d.Addresses()
	return &Server{Endpoint: at.API, Credentials: at.Credentials, Wait: func() error { return <-done }}, nil
}
