package daemon

import (
	"fmt"
	"strings"
	"testing"
)

func TestNameServers(t *testing.T) {
	t.Parallel()
	got, err := nameServers("dns-resolver", []string{"192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "[2001:db8::1]:5353"})
	if want := "[192.0.2.1:53 192.0.2.1:5353 [2001:db8::1]:53 [2001:db8::1]:5353]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v, %v; want %s", got, err, want)
	}
	for _, wrong := range []string{"", "ns.example.com", "192.0.2.1:dns", "192.0.2.1:99999"} {
		if _, err := nameServers("dns-resolver", []string{wrong}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("--dns-resolver has %q", wrong)) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}
