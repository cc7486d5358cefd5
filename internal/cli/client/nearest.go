package client

import (
	"slices"
	"strings"
)

// Nearest returns at most three names that are similar to name, the most similar
// first: those that begin with it or differ from it in few letters.
func Nearest(name string, names []string) []string {
	type candidate struct {
		name string
		far  int
	}
	var near []candidate
	limit := max(2, len([]rune(name))/3)
	for _, n := range names {
		far := distance(strings.ToLower(name), strings.ToLower(n))
		if name != "" && strings.HasPrefix(strings.ToLower(n), strings.ToLower(name)) {
			far = min(far, 1)
		}
		if far <= limit {
			near = append(near, candidate{n, far})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return a.far - b.far })
	var out []string
	for _, c := range near[:min(3, len(near))] {
		out = append(out, c.name)
	}
	return out
}

// distance is the Levenshtein distance of a and b.
func distance(a, b string) int {
	ra, rb := []rune(a), []rune(b)
	row := make([]int, len(rb)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range ra {
		diagonal := row[0]
		row[0] = i + 1
		for j, y := range rb {
			change := diagonal
			if x != y {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(rb)]
}
