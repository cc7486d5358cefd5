package policy

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// Locate returns the position of a statement in the text of a document that Parse
// accepts: the offsets of its first byte and of the byte after its last. Both are
// 0 if there is no such statement.
func Locate(text []byte, statement int) (from, to int) {
	d := jsontext.NewDecoder(bytes.NewReader(text))
	if _, err := d.ReadToken(); err != nil { // {
		return 0, 0
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return 0, 0
		}
		if name.String() == "Statement" {
			return locateIn(d, statement)
		}
		if err := d.SkipValue(); err != nil {
			return 0, 0
		}
	}
	return 0, 0
}

func locateIn(d *jsontext.Decoder, statement int) (from, to int) {
	if d.PeekKind() == '[' {
		if _, err := d.ReadToken(); err != nil {
			return 0, 0
		}
	}
	for i := 0; d.PeekKind() == '{'; i++ {
		v, err := d.ReadValue()
		if err != nil {
			return 0, 0
		}
		if i == statement {
			to = int(d.InputOffset())
			return to - len(v), to
		}
	}
	return 0, 0
}
