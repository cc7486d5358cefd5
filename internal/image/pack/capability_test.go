package pack_test

import (
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/image/pack"
)

func TestPlainCapability(t *testing.T) {
	t.Parallel()
	const body = "\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	plain := "\x01\x00\x00\x02" + body
	for name, c := range map[string]struct {
		value  string
		rootID uint32
		want   string
	}{
		"as images have it":    {plain, 0, plain},
		"of a user namespace":  {"\x01\x00\x00\x03" + body + "\x00\x00\x01\x40", 0x40010000, plain},
		"of another":           {"\x01\x00\x00\x03" + body + "\x00\x00\x01\x40", 0, ""},
		"of the host's root":   {"\x01\x00\x00\x03" + body + "\x00\x00\x00\x00", 0, plain},
		"of an old kernel":     {"\x01\x00\x00\x01" + body[:8], 0, ""},
		"of a kernel to come":  {"\x01\x00\x00\x04" + body, 0, ""},
		"too long":             {plain + "x", 0, ""},
		"of the other's size":  {"\x01\x00\x00\x03" + body, 0, ""},
		"empty":                {"", 0, ""},
		"longer than any file": {strings.Repeat("x", 1<<16), 0, ""},
	} {
		if got, ok := pack.PlainCapability(c.value, c.rootID); got != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q, %t, want %q", name, got, ok, c.want)
		}
	}
}
