package client

import (
	"context"
	"time"
)

// Runtime is a managed runtime of a server.
type Runtime struct {
	Name, Title string
	Image       string `json:",omitempty"` // the publisher's
	Suite       string `json:",omitempty"` // of Debian, whose packages make it otherwise
	Substitute  string `json:",omitempty"`
	Absent      string `json:",omitempty"` // why it can't be made
	End         string `json:",omitempty"` // of support: a date
	Made        []RuntimeVersion
}

// RuntimeVersion is a version of a runtime that is ready.
type RuntimeVersion struct {
	Version, Origin, Image string
	CreatedAt              Seconds
}

// Runtimes returns the managed runtimes in the order of the server's table.
func (c *Client) Runtimes(ctx context.Context) ([]Runtime, error) {
	var out struct{ Runtimes []Runtime }
	err := c.own.do(ctx, "Slipway.ListRuntimes", struct{}{}, &out)
	return out.Runtimes, err
}

// PruneBuilds removes the caches of builds that none has used for a time, and returns
// the bytes that this freed.
func (c *Client) PruneBuilds(ctx context.Context, unused time.Duration) (freed int64, err error) {
	in := struct{ UnusedFor int64 }{int64(unused / time.Second)}
	var out struct{ FreedBytes int64 }
	err = c.uploading().do(ctx, "Slipway.PruneBuilds", in, &out) // it may take a while
	return out.FreedBytes, err
}
