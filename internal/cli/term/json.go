package term

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// JSON writes one JSON document, indented by two spaces, with a final newline.
func JSON(w io.Writer, doc []byte) error {
	var b bytes.Buffer
	if err := json.Indent(&b, doc, "", "  "); err != nil {
		return fmt.Errorf("indent JSON: %w", err)
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}
