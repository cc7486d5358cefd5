package term

import (
	"io"
	"strings"
	"unicode/utf8"
)

// Cell is a cell of a table.
type Cell struct {
	Text string
	Tone Tone
}

// Table is rows of cells in aligned columns. The zero value is empty and ready
// to use.
type Table struct {
	// Head holds the columns' titles; a table without a head has none.
	Head []string
	// Indent is written before every row.
	Indent string

	rows [][]Cell
}

const columnGap = "  "

// Add appends a row.
func (t *Table) Add(cells ...Cell) { t.rows = append(t.rows, cells) }

// Len returns the number of rows without the head.
func (t *Table) Len() int { return len(t.rows) }

// Write writes the table in the given style: columns as wide as their widest
// cell, nothing after the last cell of a row.
func (t *Table) Write(w io.Writer, st Style) error {
	rows := t.rows
	if len(t.Head) > 0 {
		head := make([]Cell, len(t.Head))
		for i, h := range t.Head {
			head[i] = Cell{h, Strong}
		}
		rows = append([][]Cell{head}, rows...)
	}
	widths := columnWidths(rows)
	var b strings.Builder
	for _, row := range rows {
		b.WriteString(t.Indent)
		for len(row) > 0 && row[len(row)-1].Text == "" {
			row = row[:len(row)-1]
		}
		for i, c := range row {
			text := Printable(c.Text)
			b.WriteString(st.Render(c.Tone, text))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)))
				b.WriteString(columnGap)
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func columnWidths(rows [][]Cell) []int {
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(Printable(c.Text)))
		}
	}
	return widths
}
