package term

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text from elsewhere (applications, images, other users) reaches a terminal only
// through this file. A terminal acts on more than it shows: escape sequences move the
// cursor, set the title, write to the clipboard and ask the terminal to type answers;
// C1 controls begin such sequences with one character; bidirectional controls change
// the order of what follows. What is left are characters with a picture of their own,
// and colours where the caller asks for them.

// replacement stands for each character or byte that is not shown, so that a reader
// sees that there was something.
const replacement = "\uFFFD"

// Printable returns s as one line without anything that a terminal acts on: escape
// sequences are left out, line breaks and tabs become spaces, and other control
// characters, invisible format characters and invalid UTF-8 become U+FFFD.
func Printable(s string) string { return clean(s, false) }

// Colored is Printable that keeps colours and attributes (SGR) as long as they end with
// the text: of these a terminal shows the text differently and does nothing else.
// Concealed and blinking text are shown as plain.
func Colored(s string) string { return clean(s, true) }

// Lines returns the lines of s, each Printable and without spaces at its end. Empty
// lines at the end are left out.
func Lines(s string) []string {
	var list []string
	for line := range strings.SplitSeq(s, "\n") {
		list = append(list, strings.TrimRight(Printable(strings.TrimSuffix(line, "\r")), " "))
	}
	for len(list) > 0 && list[len(list)-1] == "" {
		list = list[:len(list)-1]
	}
	return list
}

const resetSGR = "\x1b[0m"

func clean(s string, colors bool) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	open := false
	for len(s) > 0 {
		kind, n := scan(s, true)
		switch kind {
		case shown:
			b.WriteString(s[:n])
		case newline, blank:
			b.WriteByte(' ')
		case color:
			if sgr := harmlessSGR(s[:n]); colors && sgr != "" {
				b.WriteString(sgr)
				open = sgr != resetSGR
			}
		case sequence:
		default:
			b.WriteString(replacement)
		}
		s = s[n:]
	}
	if open {
		b.WriteString(resetSGR)
	}
	return b.String()
}

// plain reports whether s has nothing but printable ASCII.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// token is what a text has at one place.
type token int

const (
	incomplete token = iota // the text ends within it
	shown                   // a character with a picture
	newline                 // LF or CRLF
	blank                   // a tab or a carriage return
	color                   // an SGR sequence
	sequence                // another whole escape sequence
	hidden                  // a character or byte that is not shown
)

// Longer sequences are none: their introducer is replaced, and the rest is text. So an
// application can't hide what comes after one that it never ends.
const (
	maxSequence = 64
	maxString   = 4096
)

// scan returns what s begins with and its length. last says that nothing follows s;
// otherwise a token that may continue is incomplete.
func scan(s string, last bool) (token, int) {
	c := s[0]
	switch {
	case c >= ' ' && c < 0x7f:
		return shown, 1
	case c == '\n':
		return newline, 1
	case c == '\t':
		return blank, 1
	case c == '\r':
		switch {
		case len(s) > 1 && s[1] == '\n':
			return newline, 2
		case len(s) == 1 && !last:
			return incomplete, 0
		}
		return blank, 1
	case c == 0x1b:
		return scanEscape(s, last)
	case c < utf8.RuneSelf:
		return hidden, 1
	}
	if !last && !utf8.FullRuneInString(s) {
		return incomplete, 0
	}
	r, n := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && n == 1 || isHidden(r) {
		return hidden, n
	}
	return shown, n
}

// isHidden reports whether a character has no picture and acts on others. The joiners
// stay: emoji and several scripts are spelled with them.
func isHidden(r rune) bool {
	switch {
	case r < 0xa0:
		return unicode.IsControl(r)
	case r == 0x200c || r == 0x200d:
		return false
	}
	return unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) && !unicode.Is(unicode.Prepended_Concatenation_Mark, r)
}

// scanEscape is scan for a text that begins with ESC (ECMA-48, and xterm's strings).
func scanEscape(s string, last bool) (token, int) {
	if len(s) == 1 {
		return unended(last)
	}
	switch c := s[1]; {
	case c == '[':
		return scanCSI(s, last)
	case strings.IndexByte("]PX^_", c) >= 0:
		return scanString(s, last)
	case c >= 0x20 && c <= 0x7e:
		i := 1
		for i < len(s) && i < maxSequence && s[i] >= 0x20 && s[i] <= 0x2f {
			i++
		}
		switch {
		case i == len(s):
			return unended(last)
		case s[i] >= 0x30 && s[i] <= 0x7e:
			return sequence, i + 1
		}
	}
	return hidden, 1
}

func unended(last bool) (token, int) {
	if last {
		return hidden, 1
	}
	return incomplete, 0
}

func scanCSI(s string, last bool) (token, int) {
	i := 2
	for i < len(s) && s[i] >= 0x30 && s[i] <= 0x3f {
		i++
	}
	parameters := i
	for i < len(s) && s[i] >= 0x20 && s[i] <= 0x2f {
		i++
	}
	switch {
	case i > maxSequence:
		return hidden, 1
	case i == len(s):
		return unended(last)
	case s[i] == 'm' && i == parameters && strings.Trim(s[2:i], "0123456789;") == "":
		return color, i + 1
	case s[i] >= 0x40 && s[i] <= 0x7e:
		return sequence, i + 1
	}
	return hidden, 1
}

// scanString is scan for the control strings OSC, DCS, SOS, PM and APC, which BEL, ST or
// its C1 form end.
func scanString(s string, last bool) (token, int) {
	for i := 2; i < len(s); i++ {
		switch {
		case i > maxString || s[i] == '\n' || s[i] == '\r':
			return hidden, 1
		case s[i] == 0x07:
			return sequence, i + 1
		case s[i] == 0x1b && i+1 < len(s) && s[i+1] != '\\':
			return hidden, 1
		case s[i] == 0x1b && i+1 < len(s), s[i] == 0xc2 && i+1 < len(s) && s[i+1] == 0x9c:
			return sequence, i + 2
		}
	}
	return unended(last)
}

// harmlessSGR returns the part of an SGR sequence that sets colours and attributes with
// which text stays readable; "" if nothing is left.
func harmlessSGR(seq string) string {
	list := strings.Split(seq[2:len(seq)-1], ";")
	var keep []string
	for i := 0; i < len(list); i++ {
		n, err := strconv.Atoi(list[i])
		if list[i] == "" {
			n, err = 0, nil
		}
		switch {
		case err != nil:
		case n == 38 || n == 48:
			size := colorSize(list[i+1:])
			if size > 0 {
				keep = append(keep, list[i:i+1+size]...)
			}
			i += max(size, 1)
		case slices.Contains([]int{0, 1, 2, 3, 4, 7, 9, 21, 22, 23, 24, 27, 29, 39, 49}, n),
			n >= 30 && n <= 37, n >= 40 && n <= 47, n >= 90 && n <= 97, n >= 100 && n <= 107:
			keep = append(keep, strconv.Itoa(n))
		}
	}
	if len(keep) == 0 {
		return ""
	}
	return "\x1b[" + strings.Join(keep, ";") + "m"
}

// colorSize returns how many parameters the colour after 38 or 48 has: 5;n or 2;r;g;b.
// 0 if there is none.
func colorSize(list []string) int {
	size := 0
	switch {
	case len(list) >= 2 && list[0] == "5":
		size = 2
	case len(list) >= 4 && list[0] == "2":
		size = 4
	}
	for _, p := range list[min(1, len(list)):max(size, min(1, len(list)))] {
		if n, err := strconv.Atoi(p); err != nil || n < 0 || n > 255 || len(p) > 3 || p[0] == '+' || p[0] == '-' {
			return 0
		}
	}
	return size
}
