package image

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestAPullTellsThatARegistryDoesNotAnswer: a connection that is refused is told at once,
// one that is never accepted after some seconds.
func TestAPullTellsThatARegistryDoesNotAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr, err := newTransport(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		refused, hold := false, make(chan struct{})
		tr.next = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			if refused {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
			}
			<-hold // net/http goes on dialling after the request is cancelled
			return nil, errors.New("too late")
		}}
		var mu sync.Mutex // guards told
		var told []string
		ctx, cancel := context.WithCancel(WithNotices(t.Context(), func(s string) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, s)
		}))
		get := func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://registry.example.com/v2/", nil)
			if err != nil {
				t.Error(err)
				return
			}
			if resp, err := tr.RoundTrip(req); err == nil {
				resp.Body.Close()
				t.Error("there was an answer")
			}
		}
		done := make(chan struct{})
		go func() { get(); close(done) }()
		time.Sleep(patience - time.Second)
		synctest.Wait()
		mu.Lock()
		if len(told) != 0 {
			t.Errorf("told %q at once", told)
		}
		mu.Unlock()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		cancel()
		<-done
		close(hold)
		if want := []string{"Waiting for registry registry.example.com to answer."}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
		told, refused = nil, true
		ctx = WithNotices(t.Context(), func(s string) { told = append(told, s) })
		get()
		if want := []string{"Registry registry.example.com does not answer: the connection was refused."}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}
