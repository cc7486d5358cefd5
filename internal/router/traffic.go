package router

// Traffic is what the router knows of a service's requests.
type Traffic struct {
	InFlight int // on instances that accept new requests
	Waiting  int

	// Since the router first knew the service:

	Requests uint64    // that have ended
	Failed   uint64    // of them, with a 5xx response
	Total    Histogram // of the time from their heads to the ends of their responses

	Instances map[string]InstanceTraffic // that accept new requests, or sleep; by id
}

// InstanceTraffic is what the router knows of an instance's requests.
type InstanceTraffic struct {
	InFlight int
	Asleep   bool // it is frozen
}

// Traffic returns what is known of a service's requests. ok is false if the router does not
// know the service.
func (r *Router) Traffic(serviceID string) (t Traffic, ok bool) {
	s := r.table.Load().service(serviceID)
	if s == nil {
		return t, false
	}
	counts := s.stats.sums()
	for i, n := range counts.classes {
		t.Requests += n
		if classes[i] == "5xx" {
			t.Failed = n
		}
	}
	t.Total = counts.total
	inFlight, waiting := s.gate.demand()
	t.InFlight, t.Waiting = int(inFlight), int(waiting)
	t.Instances = map[string]InstanceTraffic{}
	for _, i := range s.gate.view.Load().instances {
		t.Instances[i.Instance] = InstanceTraffic{InFlight: int(i.inFlight()), Asleep: i.isAsleep()}
	}
	return t, true
}
