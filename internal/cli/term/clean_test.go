package term_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/openslipway/slipway/internal/cli/term"
)

func TestPrintable(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"plain":                            "plain",
		"größe 日本 👩‍💻":                     "größe 日本 👩‍💻",
		"a\tb\nc\r\nd\re":                  "a b c d e",
		"\x1b[31mred\x1b[0m":               "red",
		"\x1b[2J\x1b[H\x1b[?25l":           "",
		"\x1b]0;title\x07x":                "x",
		"\x1b]52;c;cm0gLXJm\x1b\\x":        "x",
		"\x1b]8;;http://a\x1b\\link\x1b[m": "link",
		"\x1bP1$r0m\x1b\\x\x1b^y\u009cz":   "xz",
		"\x1bc\x1b(0q\x1b=":                "q",
		"\x1b]0;never ended":               "\uFFFD]0;never ended",
		"\x1b]0;two\nlines\x07":            "\uFFFD]0;two lines\uFFFD",
		"\x1b[31":                          "\uFFFD[31",
		"\x1b[3\x071m":                     "\uFFFD[3\uFFFD1m",
		"\x1b":                             "\uFFFD",
		"\x1b\x1b[31mx":                    "\uFFFDx",
		"bell\x07 back\b del\x7f nul\x00":  "bell\uFFFD back\uFFFD del\uFFFD nul\uFFFD",
		"\u009b31mC1\u0085":                "\uFFFD31mC1\uFFFD",
		"\x9b31m raw C1 \xff":              "\uFFFD31m raw C1 \uFFFD",
		"if \u202e} esrever \u2066isolate": "if \uFFFD} esrever \uFFFDisolate",
		"lrm\u200e rlm\u200f alm\u061c":    "lrm\uFFFD rlm\uFFFD alm\uFFFD",
		"zero\u200bwidth\ufeff \u2060":     "zero\uFFFDwidth\uFFFD \uFFFD",
		"line\u2028paragraph\u2029":        "line\uFFFDparagraph\uFFFD",
		"tag\U000e0041":                    "tag\uFFFD",
		"\u0600\u06dd":                     "\u0600\u06dd", // signs with a picture
	} {
		if got := term.Printable(s); got != want {
			t.Errorf("Printable(%q) = %q, want %q", s, got, want)
		}
	}
}

func TestColored(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"\x1b[32mok\x1b[0m":         "\x1b[32mok\x1b[0m",
		"\x1b[1;38;5;208mx":         "\x1b[1;38;5;208mx\x1b[0m",
		"\x1b[38;2;1;2;255mx\x1b[m": "\x1b[38;2;1;2;255mx\x1b[0m",
		"\x1b[8mconcealed":          "concealed",
		"\x1b[5;31mblink":           "\x1b[31mblink\x1b[0m",
		"\x1b[38;5;999;32mx":        "\x1b[32mx\x1b[0m",
		"\x1b[38;5mx":               "x",
		"\x1b[>4;1mx\x1b[?1mx":      "xx",
		"\x1b[31:2mx":               "x",
		"\x1b[2Jx\x1b[31 mx":        "xx",
	} {
		if got := term.Colored(s); got != want {
			t.Errorf("Colored(%q) = %q, want %q", s, got, want)
		}
	}
}

func TestLinesKeepsThem(t *testing.T) {
	t.Parallel()
	got := term.Lines("Traceback:\r\n  File \x1b[1mx\x1b[0m  \n\nKeyError\n\n")
	if want := []string{"Traceback:", "  File x", "", "KeyError"}; strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What an Output lets through does not depend on how writes are cut.
func TestOutputJoinsWrites(t *testing.T) {
	t.Parallel()
	text := "a\x1b[2Jb\x1b[31mred\r\nnext 日\x1b]0;t\x07本\x1b]0;open\nx\u202e\xff\r.\n"
	want := "ab\x1b[31mred\x1b[0m\nnext 日本\uFFFD]0;open\nx\uFFFD\uFFFD .\n"
	for cut := range len(text) {
		var b bytes.Buffer
		o := term.Guard(&b, true)
		o.Write([]byte(text[:cut]))
		o.Write([]byte(text[cut:]))
		if b.String() != want {
			t.Fatalf("cut at %d: got %q, want %q", cut, b.String(), want)
		}
	}
	var b bytes.Buffer
	term.Guard(&b, false).Write([]byte(text))
	if got, want := b.String(), strings.NewReplacer("\x1b[31m", "", "\x1b[0m", "").Replace(want); got != want {
		t.Errorf("without colours: got %q, want %q", got, want)
	}
}

func TestJSONHasNoHiddenCharacters(t *testing.T) {
	t.Parallel()
	doc, err := json.Marshal(map[string]string{"a": "x\u202e\u009b31m\x1b\x7f\U000e0041é日"})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := term.JSONLine(&b, doc); err != nil {
		t.Fatal(err)
	}
	if want := `{"a":"x\u202e\u009b31m\u001b\u007f\udb40\udc41é日"}` + "\n"; b.String() != want {
		t.Errorf("got %s, want %s", b.String(), want)
	}
	var back map[string]string
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || back["a"] != "x\u202e\u009b31m\x1b\x7f\U000e0041é日" {
		t.Errorf("read back as %q: %v", back["a"], err)
	}
}

// FuzzPrintable: whatever comes in, what goes to the terminal is valid UTF-8 without
// characters that a terminal acts on but line breaks, tabs and colours.
func FuzzPrintable(f *testing.F) {
	for _, s := range []string{"", "x", "\x1b[31mred", "\x1b]0;t\x07", "\x9b2J", "\u202e", "\x1b[38;5;1m", "\x1b\x1b[m", "a\r\nb", "\xe6\x97"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		one := term.Printable(s)
		checkClean(t, s, one, false)
		if strings.ContainsAny(one, "\n\t") {
			t.Errorf("Printable(%q) = %q has more than one line or a tab", s, one)
		}
		if again := term.Printable(one); again != one {
			t.Errorf("Printable(%q) = %q, and that of it is %q", s, one, again)
		}
		checkClean(t, s, term.Colored(s), true)
		var whole, parts bytes.Buffer
		term.Guard(&whole, true).Write([]byte(s))
		checkClean(t, s, whole.String(), true)
		o := term.Guard(&parts, true)
		for i := range len(s) {
			o.Write([]byte(s[i : i+1]))
		}
		if whole.String() != parts.String() {
			t.Errorf("of %q: in one write %q, byte by byte %q", s, whole.String(), parts.String())
		}
	})
}

// checkClean fails if a terminal would act on a text.
func checkClean(t *testing.T, in, out string, colors bool) {
	t.Helper()
	if !utf8.ValidString(out) {
		t.Errorf("of %q: %q is no valid UTF-8", in, out)
	}
	for i, r := range out {
		switch {
		case r == '\n' || r == '\t' || r == 0x200c || r == 0x200d:
		case r == 0x1b && colors:
			end := strings.IndexByte(out[i:], 'm')
			if end < 0 || strings.Trim(out[i+2:i+end], "0123456789;") != "" || out[i+1] != '[' {
				t.Errorf("of %q: %q has more than colours", in, out)
			}
		case unicode.IsControl(r), unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp):
			t.Errorf("of %q: %q has %U", in, out, r)
		}
	}
}

func TestColumns(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int{"": 0, "abc": 3, "größe": 5, "日本": 4, "e\u0301": 1, "👍": 2, "한": 2, "ﾊﾝ": 2, "Ａ": 2} {
		if got := term.Columns(s); got != want {
			t.Errorf("Columns(%q) = %d, want %d", s, got, want)
		}
	}
	for _, tc := range []struct {
		s    string
		n    int
		want string
	}{{"abcdef", 6, "abcdef"}, {"abcdef", 4, "abc…"}, {"日本語", 5, "日本…"}, {"日本語", 4, "日…"}} {
		if got := term.Cut(tc.s, tc.n); got != tc.want || term.Columns(got) > tc.n {
			t.Errorf("Cut(%q, %d) = %q, want %q", tc.s, tc.n, got, tc.want)
		}
	}
}

func TestTablesFit(t *testing.T) {
	t.Parallel()
	tab := term.Table{
		Head:  []string{"NAME", "STATE", "AGE", "URL"},
		Yield: []term.Yield{{Column: "URL", Short: true}, {Column: "AGE"}, {Column: "URL"}, {Column: "NAME", Most: 10}},
	}
	tab.Add(term.Cell{Text: "日本語サービス"}, term.Cell{Text: "running"}, term.Cell{Text: "3 days"}, term.Cell{Text: "http://abc.example:8080", Short: "abc.example:8080"})
	tab.Add(term.Cell{Text: "shop"}, term.Cell{Text: "paused"}, term.Cell{Text: "1 hour"}, term.Cell{Text: "http://def.example:8080", Short: "def.example:8080"})
	for width, want := range map[int]string{
		0: "NAME            STATE    AGE     URL\n日本語サービス  running  3 days  http://abc.example:8080\nshop            paused   1 hour  http://def.example:8080\n",
		// 14+7+6+23 and the gaps are 56.
		56: "NAME            STATE    AGE     URL\n日本語サービス  running  3 days  http://abc.example:8080\nshop            paused   1 hour  http://def.example:8080\n",
		55: "NAME            STATE    AGE     URL\n日本語サービス  running  3 days  abc.example:8080\nshop            paused   1 hour  def.example:8080\n",
		48: "NAME            STATE    URL\n日本語サービス  running  abc.example:8080\nshop            paused   def.example:8080\n",
		40: "NAME            STATE    AGE\n日本語サービス  running  3 days\nshop            paused   1 hour\n",
		20: "NAME       STATE\n日本語サ…  running\nshop       paused\n",
	} {
		var b bytes.Buffer
		if err := tab.Write(&b, term.Style{Width: width}); err != nil {
			t.Fatal(err)
		}
		if b.String() != want {
			t.Errorf("width %d:\n%swant\n%s", width, b.String(), want)
		}
	}
}

func TestTableWrapsItsLastColumn(t *testing.T) {
	t.Parallel()
	tab := term.Table{Wrap: true}
	tab.Add(term.Cell{Text: "Health"}, term.Cell{Text: "TCP every 5 s within 2 s; healthy after 1"})
	tab.Add(term.Cell{Text: "ARN"}, term.Cell{Text: "arn:aws:apprunner:us-east-1:000000000000:service/shop"})
	var b bytes.Buffer
	if err := tab.Write(&b, term.Style{Width: 30}); err != nil {
		t.Fatal(err)
	}
	want := "Health  TCP every 5 s within 2\n        s; healthy after 1\nARN     arn:aws:apprunner:us-east-1:000000000000:service/shop\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}
