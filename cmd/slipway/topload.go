package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

// topSample is what the server said at one time.
type topSample struct {
	services  []types.ServiceSummary
	instances map[string]client.ServiceInstances // by the ARNs of services
}

// serviceLoad is the load of a service between two samples.
type serviceLoad struct {
	ServiceArn, ServiceName string
	Status                  string

	Seconds float64 // that rates and times are about; 0 if nothing is known

	Ready, Wanted, Asleep int // instances
	InFlight, Queued      int // requests now

	RequestsPerSecond, FailedPerSecond float64
	P50Seconds, P99Seconds             *float64 `json:",omitempty"` // nil if no request ended
	CpuPercent                         float64  // of a core
	MemoryBytes                        int64    // now

	unknown bool // the user may not know, or the server does not
}

// loadsOf returns the load of all services of the second sample, the heaviest first.
func loadsOf(before, now topSample) []serviceLoad {
	loads := []serviceLoad{}
	for _, s := range now.services {
		arn := aws.ToString(s.ServiceArn)
		l := serviceLoad{ServiceArn: arn, ServiceName: aws.ToString(s.ServiceName), Status: string(s.Status)}
		of, known := now.instances[arn]
		l.unknown = !known
		if of.Release != nil && s.Status != types.ServiceStatusPaused {
			l.Wanted = of.Release.Size
		}
		l.Ready = of.Ready()
		l.addTraffic(before.instances[arn].Traffic, of.Traffic)
		l.addInstances(before.instances[arn], of)
		loads = append(loads, l)
	}
	slices.SortStableFunc(loads, func(a, b serviceLoad) int {
		return cmp.Or(
			cmp.Compare(b.RequestsPerSecond, a.RequestsPerSecond), cmp.Compare(b.InFlight+b.Queued, a.InFlight+a.Queued),
			cmp.Compare(math.Round(b.CpuPercent), math.Round(a.CpuPercent)), cmp.Compare(a.ServiceName, b.ServiceName),
		)
	})
	return loads
}

// addInstances adds what instances use. An instance that the first sample does not have has
// used all its time since, if it is so young; otherwise it is not known.
func (l *serviceLoad) addInstances(before, now client.ServiceInstances) {
	was := map[string]float64{}
	for _, i := range before.Instances {
		if i.CPUSeconds != nil {
			was[i.ID] = *i.CPUSeconds
		}
	}
	for _, i := range now.Instances {
		if i.Asleep {
			l.Asleep++
		}
		l.MemoryBytes += i.MemoryBytes
		if i.CPUSeconds == nil || l.Seconds == 0 {
			continue
		}
		first, known := was[i.ID]
		if used := *i.CPUSeconds - first; (known || i.CreatedAt >= before.Traffic.At) && used > 0 {
			l.CpuPercent += 100 * used / l.Seconds
		}
	}
}

// addTraffic adds what is known of requests. Counts that have fallen are those of a server
// that has started again.
func (l *serviceLoad) addTraffic(before, now *client.Traffic) {
	if now == nil {
		return
	}
	l.InFlight, l.Queued = now.InFlight, now.Waiting
	if before == nil || now.At <= before.At {
		return
	}
	l.Seconds = math.Round(float64(now.At-before.At)*1000) / 1000
	if now.Requests < before.Requests || len(before.LatencyCounts) != len(now.LatencyCounts) {
		before = &client.Traffic{LatencyCounts: make([]int64, len(now.LatencyCounts))}
	}
	l.RequestsPerSecond = float64(now.Requests-before.Requests) / l.Seconds
	l.FailedPerSecond = float64(max(now.Failed-before.Failed, 0)) / l.Seconds
	counts := make([]int64, len(now.LatencyCounts))
	for i := range counts {
		counts[i] = max(now.LatencyCounts[i]-before.LatencyCounts[i], 0)
	}
	l.P50Seconds, l.P99Seconds = quantile(0.5, now.LatencyBounds, counts), quantile(0.99, now.LatencyBounds, counts)
}

// quantile estimates the value that the share q of all is at most, from counts between
// ascending bounds: as if values were even between two bounds. The last count has no bound,
// so what is in it is taken for the bound before. It returns nil if nothing was counted.
func quantile(q float64, bounds []float64, counts []int64) *float64 {
	var total int64
	for _, n := range counts {
		total += n
	}
	if total == 0 || len(bounds) == 0 || len(counts) != len(bounds)+1 {
		return nil
	}
	rank, low := q*float64(total), 0.0
	for i, bound := range bounds {
		n := float64(counts[i])
		if n > 0 && rank <= n {
			return aws.Float64(low + (bound-low)*rank/n)
		}
		rank, low = rank-n, bound
	}
	return &low
}

// topTable shows loads. With 80 columns it has all columns but the status.
func topTable(loads []serviceLoad) term.Table {
	t := term.Table{
		Head: []string{"SERVICE", "STATUS", "INST", "SLEEP", "FLIGHT", "QUEUE", "REQ/S", "P50", "P99", "CPU", "MEM"},
		Yield: []term.Yield{
			{Column: "STATUS"},
			{Column: "SERVICE", Most: 16},
			{Column: "SERVICE", Most: 12},
			{Column: "SERVICE", Most: 8},
			{Column: "SLEEP"},
			{Column: "P50"},
			{Column: "FLIGHT"},
			{Column: "QUEUE"},
		},
	}
	for _, l := range loads {
		t.Add(l.cells()...)
	}
	return t
}

// cells shows "-" for what is not known.
func (l serviceLoad) cells() []term.Cell {
	number := func(n int) term.Cell { return term.Cell{Text: strconv.Itoa(n)} }
	unless := func(unknown bool, c term.Cell) term.Cell {
		if unknown {
			return term.Cell{Text: "-"}
		}
		return c
	}
	ready, queued := number(l.Ready), number(l.Queued)
	if l.Ready < l.Wanted {
		ready = term.Cell{Text: fmt.Sprintf("%d/%d", l.Ready, l.Wanted), Tone: term.Warn}
	}
	if l.Queued > 0 {
		queued.Tone = term.Warn
	}
	return []term.Cell{
		{Text: l.ServiceName},
		{Text: l.Status, Tone: statusTone(l.Status)},
		unless(l.unknown, ready), unless(l.unknown, number(l.Asleep)), unless(l.unknown, number(l.InFlight)), unless(l.unknown, queued),
		unless(l.Seconds == 0, term.Cell{Text: perSecond(l.RequestsPerSecond)}),
		{Text: seconds(l.P50Seconds)},
		{Text: seconds(l.P99Seconds)},
		unless(l.Seconds == 0, term.Cell{Text: fmt.Sprintf("%.0f %%", l.CpuPercent)}),
		unless(l.MemoryBytes == 0, term.Cell{Text: term.Bytes(l.MemoryBytes)}),
	}
}

// topSummary says what all services have together.
func topSummary(loads []serviceLoad) string {
	var all serviceLoad
	for _, l := range loads {
		all.Ready += l.Ready
		all.Asleep += l.Asleep
		all.InFlight += l.InFlight
		all.Queued += l.Queued
		all.RequestsPerSecond += l.RequestsPerSecond
		all.CpuPercent += l.CpuPercent
		all.MemoryBytes += l.MemoryBytes
	}
	return fmt.Sprintf("%s, %s, %d asleep, %d in flight, %d queued, %s req/s, CPU %.0f %%, %s",
		counted(len(loads), "service"), counted(all.Ready, "instance"), all.Asleep, all.InFlight, all.Queued, perSecond(all.RequestsPerSecond), all.CpuPercent, term.Bytes(all.MemoryBytes))
}

// perSecond shows a rate.
func perSecond(v float64) string {
	if v == 0 || v >= 9.95 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
}

// seconds shows how long requests take; "-" for nil.
func seconds(v *float64) string {
	switch {
	case v == nil:
		return "-"
	case *v < 0.00995:
		return fmt.Sprintf("%.1f ms", *v*1000)
	case *v < 0.9995:
		return fmt.Sprintf("%.0f ms", *v*1000)
	case *v < 9.95:
		return fmt.Sprintf("%.1f s", *v)
	}
	return fmt.Sprintf("%.0f s", *v)
}
