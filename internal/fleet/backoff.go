package fleet

import (
	"time"

	"github.com/openslipway/slipway"
)

// keepEnded times the size is how many ended rows are kept: enough to derive the
// longest delay between restarts from them.
const keepEnded = 12

// restarts returns how often the instances of the release have ended too soon, and
// when it may start the next one.
func restarts(r slipway.Release, observations []*observation) slipway.Restarts {
	var rows []slipway.Instance
	for _, o := range observations {
		row := o.row
		if !o.ended.IsZero() {
			row.EndedAt = o.ended
		}
		rows = append(rows, row)
	}
	return slipway.RestartsOf(r, rows)
}

func nextStart(r slipway.Release, observations []*observation) time.Time {
	return restarts(r, observations).Next
}
