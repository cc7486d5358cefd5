package image

import (
	"errors"
	"fmt"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
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
	free, _ := s.free()
	return fail(err, slipway.QuotaExceeded, "The server's disk is full: %s of %s are free. Remove images or services that are not needed, or enlarge the disk.", bytesText(free), s.dir)
}

// free returns the bytes available to this process on the store's file system.
func (s *Store) free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(s.dir, &st); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", s.dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil //nolint:unconvert // Bsize is 32 bits wide on other architectures
}

// bytesText formats a size for people in binary units, as limits are: "12 MiB".
func bytesText(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
