package client

import "context"

// Scaling tells why a service has the instances that it has, and where its requests go.
type Scaling struct {
	ServiceArn string
	Size       *Size     // nil if nothing was decided
	Requests   *Requests // nil if the server routes none
}

// Size is the last decision on the number of instances.
type Size struct {
	Wanted                           int
	Reason                           string
	DecidedAt                        Seconds
	MinSize, MaxSize, MaxConcurrency int
	Demand, PeakDemand               float64 // requests at once
	Observed, CoolingDown            bool
	IdleSeconds                      float64
	LastChange                       *SizeChange // nil if there was none since the server started
}

// SizeChange is a decision that changed the number of instances.
type SizeChange struct {
	From, To int
	Reason   string
	At       Seconds
}

// Requests tells how requests are taken.
type Requests struct {
	Refused                             string
	Waiting, MaxWaiting, MaxConcurrency int
	ReplaceHungAfterSeconds             float64 // 0 without the setting
	ReplacesNextAt                      Seconds // when the next hung instance is replaced; zero if none waits
	Instances                           []Intake
}

// Intake tells of an instance that is open for requests.
type Intake struct {
	ID       string `json:"Id"`
	InFlight int
	State    string // serving, frozen, ejected, starting slowly or hung
	Failures int    // bad answers in a row
	Share    int    // of the requests, in percent of that of the others

	Unanswered        int     // requests in a row without any answer
	UnansweredSeconds float64 // since the first of them
}

// Scaling returns why a service has its instances.
func (c *Client) Scaling(ctx context.Context, serviceARN string) (Scaling, error) {
	in := struct{ ServiceArn string }{serviceARN}
	var out Scaling
	err := c.own.do(ctx, "Slipway.DescribeScaling", in, &out)
	return out, err
}
