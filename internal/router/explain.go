package router

import "time"

// Intake is how a service takes requests at a moment, and why.
type Intake struct {
	Refuses   error         // what every request gets; nil if they are served
	Limit     int           // concurrent requests on each instance
	Waiting   int           // requests
	MaxQueue  int           // requests that may wait
	HungAfter time.Duration // see slipway.RoutingSettings
	Instances []InstanceIntake
}

// InstanceIntake is the part of one instance that is open for requests.
type InstanceIntake struct {
	ID       string
	InFlight int
	Asleep   bool
	Ejected  bool    // it gets no requests for a while, since it was not reached, or failed where another did not
	Failures int     // bad answers in a row
	Silence  Silence // zero if it answered the last request
	Hung     bool    // it counts as one that answers no request
	Share    int     // of the requests, in percent of that of others; below 100 in its slow start
}

// InFlight returns the requests on all these instances.
func (in Intake) InFlight() (n int) {
	for _, i := range in.Instances {
		n += i.InFlight
	}
	return n
}

// Intake returns how a service takes requests now. ok is false if the router does not know
// the service.
func (r *Router) Intake(serviceID string) (in Intake, ok bool) {
	s := r.table.Load().service(serviceID)
	if s == nil {
		return in, false
	}
	return s.intake(), true
}

func (s *Service) intake() Intake {
	v := s.gate.view.Load()
	in := Intake{Refuses: v.refuse, Limit: int(v.limit), Waiting: int(s.gate.waiting.Load()), MaxQueue: v.queue, HungAfter: v.settings.HungAfter}
	if in.Refuses == nil && len(v.instances) == 0 {
		in.Refuses = v.outlook.refusal(time.Now())
	}
	for _, i := range v.instances {
		silence, hung := i.silence.now(time.Now())
		in.Instances = append(in.Instances, InstanceIntake{
			Silence: silence, Hung: hung,
			ID: i.Instance, InFlight: int(i.inFlight()), Asleep: i.isAsleep(), Ejected: i.ejected.Load(),
			Failures: int(i.bad.Load()), Share: 100 * int(warmSteps-i.warming.Load()) / warmSteps,
		})
	}
	return in
}
