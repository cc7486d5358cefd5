package daemon

import (
	"errors"
	"net"
)

// closers are functions that undo what a role has opened.
type closers []func() error

func (c *closers) add(f func() error) { *c = append(*c, f) }

// close calls the functions, the last added first, and forgets them. A listener
// that is closed already is no error.
func (c *closers) close() error {
	var errs []error
	for i := len(*c) - 1; i >= 0; i-- {
		if err := (*c)[i](); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	*c = nil
	return errors.Join(errs...)
}
