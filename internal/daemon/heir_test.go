package daemon

import (
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/openslipway/slipway/internal/takeover"
)

// The service manager hears of an heir once that has been told that it serves, and nothing of
// one that ends before.
func TestHand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	door, err := takeover.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	for _, c := range []struct {
		name    string
		early   bool // the heir ends before
		want    error
		managed []int
	}{
		{"it ends when the manager hears of it", false, nil, []int{os.Getpid()}},
		{"it ends before", true, errHeirEnded, nil},
	} {
		heir, err := takeover.Dial(dir)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := door.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if c.early {
			heir.Close()
		}
		var told []int
		err = hand(conn, nil, func(pid int) {
			told = append(told, pid)
			heir.Close()
		})
		if !errors.Is(err, c.want) || !slices.Equal(told, c.managed) {
			t.Errorf("%s: %v, and the manager was told %v", c.name, err, told)
		}
		conn.Close()
	}
}
