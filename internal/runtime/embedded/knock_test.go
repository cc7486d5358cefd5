package embedded_test

import (
	"errors"
	"testing"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
)

func TestKnock(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	id := s.ensure(probe("listen [::1]:81 six", "listen 127.0.0.1:80 four", "print done", "sleep"))
	s.prints(id, "done")
	for port, want := range map[int]bool{80: true, 81: true, 82: false} {
		door, err := s.driver.Knock(t.Context(), id, port)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			open, err := door.Open()
			if open != want || err != nil {
				t.Errorf("the door at port %d is open: %v, %v; want %v", port, open, err, want)
			}
			if want {
				break // what was open once need not be again
			}
		}
		if err := door.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.driver.Knock(t.Context(), slipway.NewID(), 80); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("knocking at no instance: %v", err)
	}
	if _, err := s.driver.Knock(t.Context(), id, 0); err == nil {
		t.Error("knocked at port 0")
	}
}
