package term

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf16"
)

// JSON writes one JSON document, indented by two spaces, with a final newline.
func JSON(w io.Writer, doc []byte) error {
	var b bytes.Buffer
	if err := json.Indent(&b, doc, "", "  "); err != nil {
		return fmt.Errorf("indent JSON: %w", err)
	}
	b.WriteByte('\n')
	_, err := w.Write(escape(b.Bytes()))
	return err
}

// JSONLine writes one JSON document as a line.
func JSONLine(w io.Writer, doc []byte) error {
	_, err := w.Write(append(escape(doc), '\n'))
	return err
}

// escape returns a JSON document of the same meaning without characters that a terminal
// acts on: JSON itself allows DEL, C1 and format characters in strings.
func escape(doc []byte) []byte {
	if !bytes.ContainsFunc(doc, jsonHidden) {
		return doc
	}
	var b bytes.Buffer
	for _, r := range string(doc) {
		switch {
		case !jsonHidden(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.Bytes()
}

func jsonHidden(r rune) bool { return r >= 0x7f && isHidden(r) }
