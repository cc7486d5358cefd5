package term

import (
	"io"
	"slices"
	"strings"
)

// Cell is a cell of a table.
type Cell struct {
	Text  string
	Tone  Tone
	Short string // what a column that gives way shows instead; see Table.Yield
}

// Table is rows of cells in aligned columns. The zero value is empty and ready
// to use.
type Table struct {
	// Head holds the columns' titles; a table without a head has none.
	Head []string
	// Indent is written before every row.
	Indent string
	// Yield is how a table that is wider than its terminal gets narrower, in this
	// order, until it fits. Columns that were left out without need come back. A table
	// without it, or one that is still too wide, cuts its widest columns. Elsewhere than
	// on a terminal tables have all columns, whole.
	Yield []Yield
	// Wrap breaks the last column's texts at spaces, where a terminal is too narrow, and
	// cuts nothing.
	Wrap bool

	rows [][]Cell
}

// Yield is how a column gives way: its cells show their Short text, take at most Most
// columns of the terminal, or, where both are unset, the column is left out.
type Yield struct {
	Column string // its title
	Short  bool
	Most   int
}

const (
	columnGap = "  "
	least     = 8 // columns that cutting leaves

	wrappedColumns = 24 // for a last column that is wrapped, at least
)

// Add appends a row.
func (t *Table) Add(cells ...Cell) { t.rows = append(t.rows, cells) }

// Len returns the number of rows without the head.
func (t *Table) Len() int { return len(t.rows) }

// Write writes the table in the given style: columns as wide as their widest
// cell, nothing after the last cell of a row.
func (t *Table) Write(w io.Writer, st Style) error {
	g := newGrid(t)
	if t.Wrap {
		g.wrapped = wrappedColumns
	}
	if st.Width > 0 {
		g.fit(t, st.Width)
	}
	var b strings.Builder
	widths := g.widths()
	for _, row := range g.rows {
		g.write(&b, t, row, widths, st)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// grid is the cells of a table as they are shown.
type grid struct {
	rows   [][]Cell // the head first, if there is one; all printable
	indent int
	left   []int // columns that are left out

	wrapped int // what the last column takes if its texts are wrapped; 0: they are not
}

func newGrid(t *Table) *grid {
	g := &grid{indent: Columns(t.Indent)}
	if len(t.Head) > 0 {
		head := make([]Cell, len(t.Head))
		for i, h := range t.Head {
			head[i] = Cell{Text: h, Tone: Strong}
		}
		g.rows = append(g.rows, head)
	}
	for _, row := range t.rows {
		shown := slices.Clone(row)
		for i := range shown {
			shown[i].Text, shown[i].Short = Printable(shown[i].Text), Printable(shown[i].Short)
		}
		g.rows = append(g.rows, shown)
	}
	return g
}

func (g *grid) widths() []int {
	var widths []int
	for _, row := range g.rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], Columns(c.Text))
		}
	}
	return widths
}

// total returns the columns of a terminal that the table takes.
func (g *grid) total() int {
	n, shown := g.indent, 0
	widths := g.widths()
	for i, w := range widths {
		if i == len(widths)-1 && g.wrapped > 0 {
			w = min(w, g.wrapped)
		}
		if !slices.Contains(g.left, i) {
			n, shown = n+w, shown+1
		}
	}
	return n + len(columnGap)*max(shown-1, 0)
}

// fit makes the table at most as wide as its terminal.
func (g *grid) fit(t *Table, width int) {
	for _, y := range t.Yield {
		i := slices.Index(t.Head, y.Column)
		if i < 0 || g.total() <= width {
			continue
		}
		switch {
		case y.Short:
			g.each(i, func(c *Cell) {
				if c.Short != "" {
					c.Text = c.Short
				}
			})
		case y.Most > 0:
			g.each(i, func(c *Cell) { c.Text = Cut(c.Text, y.Most) })
		default:
			g.left = append(g.left, i)
		}
	}
	for n := len(g.left) - 1; n >= 0; n-- {
		left := slices.Clone(g.left)
		g.left = slices.Delete(g.left, n, n+1)
		if g.total() > width {
			g.left = left
		}
	}
	if !t.Wrap {
		g.cutWidest(width)
	}
}

func (g *grid) each(column int, f func(*Cell)) {
	for _, row := range g.rows {
		if column < len(row) {
			f(&row[column])
		}
	}
}

// cutWidest cuts the widest columns until the table fits, or all are narrow.
func (g *grid) cutWidest(width int) {
	for over := g.total() - width; over > 0; over = g.total() - width {
		widths := g.widths()
		for _, i := range g.left {
			widths[i] = 0
		}
		most := slices.Max(widths)
		if most <= least {
			return
		}
		i := slices.Index(widths, most)
		g.each(i, func(c *Cell) { c.Text = Cut(c.Text, max(least, most-over)) })
	}
}

func (g *grid) write(b *strings.Builder, t *Table, row []Cell, widths []int, st Style) {
	last := -1
	for i, c := range row {
		if c.Text != "" && !slices.Contains(g.left, i) {
			last = i
		}
	}
	b.WriteString(t.Indent)
	at := g.indent
	for i, c := range row[:last+1] {
		switch {
		case slices.Contains(g.left, i):
		case i < last:
			b.WriteString(st.Render(c.Tone, c.Text))
			b.WriteString(strings.Repeat(" ", widths[i]-Columns(c.Text)))
			b.WriteString(columnGap)
			at += widths[i] + len(columnGap)
		case t.Wrap && st.Width > 0:
			for n, line := range wrap(c.Text, max(st.Width-at, 2*least)) {
				if n > 0 {
					b.WriteString("\n" + strings.Repeat(" ", at))
				}
				b.WriteString(st.Render(c.Tone, line))
			}
		default:
			b.WriteString(st.Render(c.Tone, c.Text))
		}
	}
	b.WriteByte('\n')
}
