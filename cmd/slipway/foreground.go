package main

import (
	"context"
	"log/slog"

	"github.com/openslipway/slipway/internal/cli/client"
)

// startServer starts a server inside this process for `slipway up`. It is as
// `slipway serve` is by default and by the environment; it logs warnings only,
// since up has the terminal.
func (m *Main) startServer(ctx context.Context, want ServerOptions) (*Server, error) {
	cmd, c := m.serveCommand()
	if err := c.fromEnvironment(cmd.Flags(), m.Getenv); err != nil {
		return nil, usageError(cmd, "%v", err)
	}
	c.DataDir, c.APIAddr = want.DataDir, want.APIAddr
	if want.Region != "" {
		c.Region = want.Region
	}
	if err := c.check(); err != nil {
		return nil, usageError(cmd, "%v", err)
	}
	s, err := newServer(ctx, *c, slog.New(slog.NewTextHandler(m.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return nil, &client.Problem{Text: "the server could not start: " + err.Error(), Hint: "Start it by hand to see more: slipway serve"}
	}
	done := make(chan error, 1)
	go func() {
		err := s.run(ctx)
		s.close() // before the program may end
		done <- err
	}()
	select {
	case err := <-done:
		return nil, err
	case <-s.up:
	}
	r := newReady(s.apiListener.Addr(), s.httpListener.Addr(), s.dirs)
	return &Server{Endpoint: r.API, Credentials: r.Credentials, Wait: func() error { return <-done }}, nil
}
