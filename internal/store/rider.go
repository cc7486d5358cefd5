package store

import "context"

// rider is the key under which a context holds what rides along.
type rider struct{}

// ridden is something that is written in the transaction of something else.
type ridden struct {
	f    func(*Tx) error
	done bool
}

// WithRider returns a context whose first Update also runs f, at its end and in
// its transaction: both are committed or neither is. The context is one call's;
// its Updates must not run at once.
func WithRider(ctx context.Context, f func(*Tx) error) context.Context {
	return context.WithValue(ctx, rider{}, &ridden{f: f})
}

// withRider runs f and then, if it succeeds, what rides along in ctx. The
// returned function is called when both were committed.
func withRider(ctx context.Context, f func(*Tx) error) (both func(*Tx) error, committed func()) {
	r, _ := ctx.Value(rider{}).(*ridden)
	if r == nil || r.done {
		return f, func() {}
	}
	return func(tx *Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		return r.f(tx)
	}, func() { r.done = true }
}
