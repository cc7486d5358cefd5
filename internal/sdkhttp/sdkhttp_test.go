package sdkhttp

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// fussy is a body that returns an error when read after it was closed, like
// smithy-go's.
type fussy struct {
	io.Reader
	closed bool
}

func (f *fussy) Read(b []byte) (int, error) {
	if f.closed {
		return 0, errors.New("read after close")
	}
	return f.Reader.Read(b)
}

func (f *fussy) Close() error { f.closed = true; return nil }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestBodyMayBeClosedEarly(t *testing.T) {
	t.Parallel()
	body := &fussy{Reader: strings.NewReader(`{"a":1}`)}
	req := httptest.NewRequest(http.MethodPost, "http://a/", body)
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		body.Close() // as the SDK does when it has the reply's header
		for range 2 {
			b, err := io.ReadAll(r.Body)
			if err != nil || string(b) != `{"a":1}` || r.ContentLength != 7 {
				t.Errorf("sent %q of %d bytes, %v", b, r.ContentLength, err)
			}
			if r.Body, err = r.GetBody(); err != nil { // for a connection that turned out to be closed
				t.Error(err)
			}
		}
		return &http.Response{StatusCode: http.StatusOK}, nil
	})
	if _, err := Transport(base).RoundTrip(req); err != nil {
		t.Error(err)
	}
}
