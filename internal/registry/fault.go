package registry

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/image"
)

// fault is a client's error, as the distribution API words it.
type fault struct {
	status  int
	code    string
	message string
}

func (f *fault) Error() string { return f.code + ": " + f.message }

var (
	errUnauthorized  = &fault{http.StatusUnauthorized, "UNAUTHORIZED", "Log in with an access key's id as user and its secret as password, or with a token of GetAuthorizationToken."}
	errUnknownPath   = &fault{http.StatusNotFound, "UNSUPPORTED", "There is nothing at this path."}
	errUnknownUpload = &fault{http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "There is no such upload; it may have expired. Start again."}
	errTooMany       = &fault{http.StatusTooManyRequests, "TOOMANYREQUESTS", "Too many uploads are in progress, of all users. Try again in a minute."}
	errTooLarge      = &fault{http.StatusRequestEntityTooLarge, "SIZE_INVALID", "The blob is larger than this registry allows."}
	errBroken        = &fault{http.StatusRequestTimeout, "BLOB_UPLOAD_INVALID", "The request's body broke off."}
)

// clientFault is err as the client sees it, or nil if it is the server's own
// failure. missing is the code for content that the store does not have.
func clientFault(err error, missing string) *fault {
	if f, ok := errors.AsType[*fault](err); ok {
		return f
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &fault{http.StatusRequestEntityTooLarge, "SIZE_INVALID", "The body is larger than allowed."}
	}
	switch {
	case errors.Is(err, image.ErrNotFound):
		return &fault{http.StatusNotFound, missing, err.Error()}
	case errors.Is(err, image.ErrDigest):
		return &fault{http.StatusBadRequest, "DIGEST_INVALID", err.Error()}
	case errors.Is(err, image.ErrImmutable):
		return &fault{http.StatusBadRequest, "TAG_INVALID", err.Error() + ": it can't be moved to another image."}
	case errors.Is(err, image.ErrInUse):
		return &fault{http.StatusMethodNotAllowed, "DENIED", err.Error()}
	}
	if user, ok := errors.AsType[*slipway.Error](err); ok {
		if user.Code == slipway.QuotaExceeded {
			return &fault{http.StatusInsufficientStorage, "DENIED", user.Message}
		}
		return &fault{http.StatusBadRequest, "MANIFEST_INVALID", user.Message}
	}
	return nil
}

// fail writes an error. The server's own failures are logged with their cause.
func (g *Registry) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := clientFault(err, "MANIFEST_UNKNOWN")
	if f == nil {
		if r.Context().Err() == nil {
			g.cfg.Log.Error("registry", "method", r.Method, "path", r.URL.Path, "err", err)
		}
		f = &fault{http.StatusInternalServerError, "UNKNOWN", "The registry failed; its log says why."}
	}
	type entry struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	body, _ := json.Marshal(map[string][]entry{"errors": {{f.code, f.message}}}) // strings: cannot fail
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.status)
	if r.Method != http.MethodHead {
		w.Write(body)
	}
}

func (c *call) json(status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if c.w.Header().Get("Content-Type") == "" {
		c.w.Header().Set("Content-Type", "application/json")
	}
	c.w.WriteHeader(status)
	_, err = c.w.Write(body)
	return err
}
