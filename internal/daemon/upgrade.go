package daemon

import (
	"context"

	"github.com/openslipway/slipway/internal/takeover"
)

// Renewal says what a server is to be replaced by.
type Renewal = takeover.Renewal

// ErrNobody says that no server that can be replaced runs on a data directory.
var ErrNobody = takeover.ErrNobody

// Upgrade asks the server of a data directory to be replaced by its own program, and
// returns once it is. An error says why it is not; unless it is ErrNobody, the server goes
// on.
func Upgrade(ctx context.Context, dir string, r Renewal) error { return takeover.Ask(ctx, dir, r) }

// ReportFailure tells the server of a data directory why the one that was to take over from
// it does not, if that ended before the two have met.
func ReportFailure(dir string, why error) {
	conn, err := takeover.Dial(dir)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.Send(takeover.Failed, takeover.Reason{Text: why.Error()}, nil, -1) // both logs have it anyway
}
