package build

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/openslipway/slipway/internal/source/config"
)

func TestLogger(t *testing.T) {
	t.Parallel()
	secrets := []config.Variable{{Name: "A", Value: "abcd"}, {Name: "B", Value: "abcdef\nsecond line"}, {Name: "C", Value: "no"}}
	for in, want := range map[string]string{
		"one\ntwo\n":                      "one|two",
		"no end":                          "no end",
		"dos\r\nend\r\n":                  "dos|end",
		"10%\r50%\r100%\n":                "100%",
		"10%\r100%\r\n":                   "100%",
		"\n\n":                            "|",
		"\x1b[31mred\x1b[0m\x1b(B\n":      "red",
		"\x1b]0;title\x07text\n":          "text",
		"bad \xff byte\x00\x07\n":         "bad \uFFFD byte",
		"tab\there\n":                     "tab\there",
		"abcdef abcd no second line\n":    "*** *** no ***",
		strings.Repeat("x", 10000) + "\n": strings.Repeat("x", maxLine) + "|" + strings.Repeat("x", 10000-maxLine),
	} {
		for _, size := range []int{1, 3, len(in)} {
			var got []string
			l := newLogger(secrets, func(l Line) { got = append(got, l.Text) })
			for rest := in; rest != ""; {
				n := min(size, len(rest))
				l.write([]byte(rest[:n]))
				rest = rest[n:]
			}
			l.begin(PhaseService)
			if text := strings.Join(got, "|"); text != want {
				t.Errorf("%.40q in pieces of %d: %.60q, want %.60q", in, size, text, want)
			}
		}
	}
}

func FuzzLogger(f *testing.F) {
	f.Add([]byte("a\r\nb\x1b[1mé\n"), 3)
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		l := newLogger(nil, func(l Line) {
			if len(l.Text) > 3*maxLine || !utf8.ValidString(l.Text) || strings.ContainsAny(l.Text, "\n\r\x00") {
				t.Errorf("%q", l.Text)
			}
		})
		for size = max(size%100, 1); len(in) > 0; {
			n := min(size, len(in))
			l.write(in[:n])
			in = in[n:]
		}
		l.begin(PhaseService)
	})
}

func TestCause(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"yum install -y gcc": "use apt-get", "cd x && pip install y": "Use pip3", "frob": "Install it in an earlier command",
	} {
		if got := missing(text); !strings.Contains(got, want) {
			t.Errorf("%q: %s", text, got)
		}
	}
	if got := short(strings.Repeat("é", 100)); got != `"`+strings.Repeat("é", 80)+`..."` {
		t.Error(got)
	}
	if got := bytesText(2048 << 20); got != "2 GiB" {
		t.Error(got)
	}
}
