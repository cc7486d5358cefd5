package audit

import (
	"fmt"
	"maps"
	"testing"
)

// Those with the most records lose their oldest; who has a share or less loses none.
func TestExcess(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		counts, want map[string]int
	}{
		{map[string]int{}, map[string]int{}},
		{map[string]int{"ann": 100}, map[string]int{}},
		{map[string]int{"ann": 101}, map[string]int{"ann": 1}},
		{map[string]int{"ann": 10, "mallory": 500}, map[string]int{"mallory": 410}},
		{map[string]int{"ann": 50, "mallory": 500}, map[string]int{"mallory": 450}},
		{map[string]int{"ann": 60, "mallory": 500}, map[string]int{"ann": 10, "mallory": 450}},
		{map[string]int{"ann": 20, "bob": 45, "mallory": 50}, map[string]int{"bob": 5, "mallory": 10}},
		{map[string]int{"ann": 30, "bob": 30, "mallory": 40}, map[string]int{}},
		{map[string]int{"": 3, "ann": 1}, map[string]int{}},
	} {
		t.Run(fmt.Sprint(c.counts), func(t *testing.T) {
			t.Parallel()
			if got := excess(c.counts, 100); !maps.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}
