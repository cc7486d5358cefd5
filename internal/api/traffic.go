package api

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Traffic is what this server's router knows of a service's requests.
type Traffic struct {
	InFlight, Waiting int

	// Since the server started:

	Requests, Failed int64           // that have ended, and of them those with 5xx
	Bounds           []time.Duration // upper ones of the buckets of Latency, ascending
	Latency          []int64         // requests by how long they took, not cumulative: a number for each bound, and one for more

	Instances map[string]InstanceTraffic // by id
}

// InstanceTraffic is what the router knows of an instance.
type InstanceTraffic struct {
	InFlight int
	Asleep   bool // it is frozen until the next request
}

// TrafficDescription tells of the requests of a service. Rates are differences of two of
// them; a number that has fallen says that the server has started again.
type TrafficDescription struct {
	At *time.Time // when the rest was so, to the millisecond

	InFlight *int32 // on instances that accept new requests
	Waiting  *int32 // for an instance

	Requests *int64 // that have ended since the server started
	Failed   *int64 // of them, with a 5xx response

	LatencyBounds []float64 // seconds, ascending
	LatencyCounts []int64   // requests that took at most so long and more than the bound before; the last one has no bound
}

func describeTraffic(t Traffic, at time.Time) *TrafficDescription {
	d := &TrafficDescription{
		At:       &at,
		InFlight: aws.Int32(int32(t.InFlight)), Waiting: aws.Int32(int32(t.Waiting)),
		Requests: &t.Requests, Failed: &t.Failed, LatencyBounds: []float64{}, LatencyCounts: t.Latency,
	}
	for _, b := range t.Bounds {
		d.LatencyBounds = append(d.LatencyBounds, b.Seconds())
	}
	return d
}

// addTraffic adds what is known of the requests of a service and of its instances.
func (s *ServiceInstances) addTraffic(t Traffic, at time.Time) {
	s.Traffic = describeTraffic(t, at)
	for n := range s.Instances {
		i := &s.Instances[n]
		if of, ok := t.Instances[*i.Id]; ok {
			i.InFlight, i.Asleep = aws.Int32(int32(of.InFlight)), &of.Asleep
		}
	}
}
