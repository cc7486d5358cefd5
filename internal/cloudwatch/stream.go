package cloudwatch

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/logs"
	"github.com/openslipway/slipway/internal/page"
)

type describeLogStreamsInput struct {
	Group      *string `json:"logGroupName"`
	Identifier *string `json:"logGroupIdentifier"`
	Prefix     *string `json:"logStreamNamePrefix"`
	OrderBy    *string `json:"orderBy"`
	Descending *bool   `json:"descending"`
	Token      *string `json:"nextToken"`
	Limit      *int    `json:"limit"`
}

type describeLogStreamsOutput struct {
	Streams []logStream `json:"logStreams"`
	Token   *string     `json:"nextToken"`
}

type logStream struct {
	Name      string `json:"logStreamName"`
	CreatedAt *int64 `json:"creationTime"`
	First     *int64 `json:"firstEventTimestamp"`
	Last      *int64 `json:"lastEventTimestamp"`
	Ingested  *int64 `json:"lastIngestionTime"`
	ARN       string `json:"arn"`
	Bytes     int64  `json:"storedBytes"` // always 0, as in CloudWatch Logs
}

// describeLogStreams lists a group's streams by name or by their last line.
func (l *Logs) describeLogStreams(ctx context.Context, _ *gateway.Call, in *describeLogStreamsInput) (*describeLogStreamsOutput, error) {
	order, prefix := cmp.Or(value(in.OrderBy), "LogStreamName"), value(in.Prefix)
	switch {
	case order != "LogStreamName" && order != "LastEventTime":
		return nil, invalidParameter("1 validation error detected: Value '%.40s' at 'orderBy' failed to satisfy constraint: Member must satisfy enum value set: [LogStreamName, LastEventTime]", order)
	case order == "LastEventTime" && prefix != "":
		return nil, invalidParameter("Cannot order by LastEventTime with a logStreamNamePrefix.")
	}
	limit, err := limited(in.Limit, 50, 50)
	if err != nil {
		return nil, err
	}
	g, err := l.findLogGroup(ctx, in.Group, in.Identifier)
	if err != nil {
		return nil, err
	}
	p := logPager(limit, "DescribeLogStreams", g.arn, order, prefix, strconv.FormatBool(value(in.Descending)))
	key, err := p.After(in.Token, 1)
	if err != nil {
		return nil, errLogsToken
	}
	streams, err := g.output.Streams(g.service)
	if err != nil {
		return nil, err
	}
	streams = slices.DeleteFunc(streams, func(s logs.StreamInfo) bool { return !strings.HasPrefix(s.Name, prefix) })
	sortStreams(streams, order == "LastEventTime", value(in.Descending))
	// If a stream has moved to the front since the last page, continue after it.
	if i := slices.IndexFunc(streams, func(s logs.StreamInfo) bool { return s.Name == key[0] }); i >= 0 {
		streams = streams[i+1:]
	}
	out := describeLogStreamsOutput{Streams: []logStream{}}
	streams, out.Token = page.Cut(p, streams, func(s logs.StreamInfo) []string { return []string{s.Name} })
	for _, s := range streams {
		out.Streams = append(out.Streams, logStream{
			Name: s.Name, CreatedAt: millis(s.First), First: millis(s.First), Last: millis(s.Last), Ingested: millis(s.Last),
			ARN: g.arn + ":log-stream:" + s.Name,
		})
	}
	return &out, nil
}

func sortStreams(list []logs.StreamInfo, byTime, descending bool) {
	slices.SortFunc(list, func(a, b logs.StreamInfo) int {
		c := cmp.Compare(a.Name, b.Name)
		if byTime {
			c = cmp.Or(a.Last.Compare(b.Last), c)
		}
		if descending {
			c = -c
		}
		return c
	})
}
