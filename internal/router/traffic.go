package router

// Traffic is what the router knows of a service's requests.
type Traffic struct {
	Intake

	// Since the router first knew the service:

	Requests uint64    // that have ended
	Failed   uint64    // of them, with a 5xx response
	Total    Histogram // of the time from their heads to the ends of their responses
}

// Traffic returns what is known of a service's requests. ok is false if the router does not
// know the service.
func (r *Router) Traffic(serviceID string) (t Traffic, ok bool) {
	s := r.table.Load().service(serviceID)
	if s == nil {
		return t, false
	}
	t.Intake = s.intake()
	counts := s.stats.sums()
	for i, n := range counts.classes {
		t.Requests += n
		if classes[i] == "5xx" {
			t.Failed = n
		}
	}
	t.Total = counts.total
	return t, true
}
