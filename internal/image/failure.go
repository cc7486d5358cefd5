package image

import (
	"errors"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/room"
)

// ErrUnavailable is wrapped by errors that a retry may resolve: a registry that
// is unreachable, failing, or limiting requests.
var ErrUnavailable = errors.New("registry unavailable")

// failure holds the message for the user and the cause for the log.
type failure struct {
	user  error // *slipway.Error
	cause error
}

func (f *failure) Error() string   { return f.user.Error() }
func (f *failure) Unwrap() []error { return []error{f.user, f.cause} }

// fail returns an *slipway.Error that also wraps cause.
func fail(cause error, code slipway.Code, format string, args ...any) error {
	return &failure{user: slipway.Errorf(code, format, args...), cause: cause}
}

// explain turns "no space left" into a message for the user; it returns other
// errors unchanged.
func (s *Store) explain(err error) error {
	if slipway.CodeOf(err) != "" || !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EDQUOT) {
		return err
	}
	left, _, _ := room.Left(s.dir)
	return fail(err, slipway.QuotaExceeded, "The server's disk is full: %s are left in %s. Remove images or services that are not needed, or enlarge the disk.", bytesText(left), s.dir)
}

// bytesText formats a size for people in binary units, as limits are: "12 MiB".
func bytesText(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
