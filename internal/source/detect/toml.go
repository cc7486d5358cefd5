package detect

// The deepest nesting of arrays and tables, and the most parts of a dotted key, of a
// TOML file that is parsed. Real files have a handful. The parser recurses on the one
// and takes time and memory with the square of the other.
const (
	maxTOMLDepth = 64
	maxTOMLParts = 64
)

// tomlTooDeep returns the offset at which a TOML file exceeds a limit; -1 when it does
// not. It follows strings and comments and checks nothing else.
func tomlTooDeep(data []byte) int {
	depth, parts := 0, 0
	for i := 0; i < len(data); i++ {
		switch c := data[i]; c {
		case '#':
			for i+1 < len(data) && data[i+1] != '\n' {
				i++
			}
		case '"', '\'':
			i = endOfTOMLString(data, i)
		case '[', '{':
			depth, parts = depth+1, 0
		case ']', '}':
			depth--
		case '\n', '=', ',':
			parts = 0
		case '.':
			parts++
		}
		if depth > maxTOMLDepth || parts > maxTOMLParts {
			return min(i, len(data)-1)
		}
	}
	return -1
}

// endOfTOMLString returns the offset of the last byte of the string that begins at i.
// A string that does not end on its line ends there: the parser refuses it.
func endOfTOMLString(data []byte, i int) int {
	quote := data[i]
	long := i+2 < len(data) && data[i+1] == quote && data[i+2] == quote
	if long {
		i += 2
	}
	for i++; i < len(data); i++ {
		switch {
		case data[i] == '\\' && quote == '"':
			i++
		case data[i] == '\n' && !long:
			return i
		case data[i] == quote && !long:
			return i
		case data[i] == quote && i+2 < len(data) && data[i+1] == quote && data[i+2] == quote:
			return i + 2
		}
	}
	return i
}
