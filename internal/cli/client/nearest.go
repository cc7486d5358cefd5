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
	letters := len([]rune(name))
	limit := max(2, letters/3)
	if letters <= 3 {
		limit = 1
	}
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

// distance is how many letters to insert, remove, replace or swap with the next one
// make b of a (the optimal string alignment distance).
func distance(a, b string) int {
	ra, rb := []rune(a), []rune(b)
	d := make([][]int, len(ra)+1)
	for i := range d {
		d[i] = make([]int, len(rb)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(ra); i++ {
		for j := 1; j <= len(rb); j++ {
			change := d[i-1][j-1]
			if ra[i-1] != rb[j-1] {
				change++
			}
			d[i][j] = min(change, d[i-1][j]+1, d[i][j-1]+1)
			if i > 1 && j > 1 && ra[i-1] == rb[j-2] && ra[i-2] == rb[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(ra)][len(rb)]
}
