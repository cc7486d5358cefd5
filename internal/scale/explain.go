package scale

import "time"

// Decision is a decision on the size of a release, and what it was based on.
type Decision struct {
	At        time.Time
	Was, Size int
	Reason    string
	Rules
	Observation
}

// Explanation is why a release has its size.
type Explanation struct {
	Last   Decision // the last one, of a few seconds ago
	Change Decision // the last one that changed the size; zero if none has since the start

	rests bool // Last stands: it would be the same now
}

// Explain returns why the active release of a service has its size. ok is false if no
// size was decided: no release takes requests.
func (s *Scaler) Explain(serviceID string) (e Explanation, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok = s.decided[serviceID]
	if e.rests {
		now := time.Now()
		if e.Last.Idle > 0 {
			e.Last.Idle += now.Sub(e.Last.At)
		}
		e.Last.At, e.rests = now, false
	}
	return e, ok
}

// note keeps a decision for Explain. rests says that it stands until the next one.
func (s *Scaler) note(serviceID string, d Decision, rests bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.decided[serviceID]
	e.rests = rests
	if e.Last = d; d.Was != d.Size {
		e.Change = d
	}
	s.decided[serviceID] = e
}

// forget ends the observation of a service.
func (s *Scaler) forget(serviceID string) {
	delete(s.targets, serviceID)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.decided, serviceID)
}
