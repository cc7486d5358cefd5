package term

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// Columns returns how many columns of a terminal a printable text takes: two for each
// wide character (CJK, emoji), none for one that joins or combines with the one before.
func Columns(s string) int {
	if plain(s) {
		return len(s)
	}
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf), r >= 0x1160 && r <= 0x11ff: // vowels and ends of Hangul syllables
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// Cut returns s in at most n columns: the end of a longer text becomes an ellipsis.
func Cut(s string, n int) string {
	if Columns(s) <= n || n < 1 {
		return s
	}
	var b strings.Builder
	used := 0
	for _, r := range s {
		used += runeColumns(r)
		if used > n-1 {
			break
		}
		b.WriteRune(r)
	}
	return b.String() + "…"
}

// wrap returns s in lines of at most n columns, broken at spaces. A longer word has a
// line of its own: it can be copied whole where a terminal breaks it.
func wrap(s string, n int) []string {
	if n < 1 || Columns(s) <= n {
		return []string{s}
	}
	var list []string
	line := ""
	for word := range strings.FieldsSeq(s) {
		switch {
		case line == "":
			line = word
		case Columns(line)+1+Columns(word) > n:
			list = append(list, line)
			line = word
		default:
			line += " " + word
		}
	}
	return append(list, line)
}
