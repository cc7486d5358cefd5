package soak

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// scaling is an auto scaling configuration; the zero value is the default one.
type scaling struct{ concurrency, least, most int32 }

// kind is what services have in common.
type kind struct {
	name     string
	many     int // services, in a long run
	scaling  scaling
	settings []string // names and values
	secret   bool
	exits    bool          // applications are asked to exit now and then
	clients  int           // that send requests
	every    time.Duration // between the requests of a client, at most
	slow     time.Duration // that the application takes for a request, at most
}

// least and most are how many instances a running service of the kind has at rest.
func (k kind) least() int {
	if slices.Contains(k.settings, "min-size") {
		return 0
	}
	return max(1, int(k.scaling.least))
}

func (k kind) most() int {
	if k.scaling.most == 0 {
		return 25
	}
	return int(k.scaling.most)
}

// kinds are those of the services.
var kinds = []kind{
	{name: "plain", many: 5, clients: 2, every: 200 * time.Millisecond, slow: 100 * time.Millisecond},
	{name: "pair", many: 2, scaling: scaling{100, 2, 3}, clients: 2, every: 200 * time.Millisecond, slow: 300 * time.Millisecond},
	{name: "trio", many: 1, scaling: scaling{100, 3, 4}, clients: 2, every: 200 * time.Millisecond, slow: 300 * time.Millisecond},
	{name: "elastic", many: 1, scaling: scaling{2, 1, 3}, clients: 4, every: 400 * time.Millisecond, slow: 900 * time.Millisecond},
	{name: "sleepy", many: 2, settings: []string{"sleep-after", "1"}, clients: 1, every: 5 * time.Second},
	{name: "stopping", many: 2, settings: []string{"min-size", "0", "sleep-after", "1", "stop-after", "3"}, clients: 1, every: 12 * time.Second},
	{name: "kept", many: 2, settings: []string{"pause-keeps", "3600"}, clients: 1, every: time.Second},
	{name: "secretive", many: 2, secret: true, clients: 1, every: 300 * time.Millisecond},
	{name: "logged", many: 1, settings: []string{"access-log", "true"}, clients: 2, every: 200 * time.Millisecond},
	{name: "crashing", many: 1, exits: true, clients: 1, every: 400 * time.Millisecond},
}

// life is a service from its creation to its deletion.
type life struct {
	arn, url string
	phases   []at
	past     []done // operations that have ended
}

// done is an operation that has ended.
type done struct {
	id    string
	kind  types.OperationType
	ended types.OperationStatus
}

// service is the services of one name, one after the other, and their book. Its driver alone
// changes it.
type service struct {
	*soak
	kind
	name     string
	random   *rand.Rand
	image    string
	greeting int // newest revision
	scales   string

	mu     sync.Mutex // guards what follows
	book   book
	life   *life // nil before the first creation
	story  []string
	broken bool   // something was wrong: it is left as it is
	boot   string // of the process that is to answer after a resume that thaws it
	paused time.Time
}

// note adds a line to the service's story.
func (v *service) note(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.story = append(v.story, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	if len(v.story) > 400 {
		v.story = slices.Clone(v.story[100:])
	}
}

// begin begins a phase of what requests may be answered with.
func (v *service) begin(p phase) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.life != nil {
		v.life.phases = append(v.life.phases, at{time.Now(), p})
	}
}

// act makes one change that is chosen at random.
func (v *service) act() {
	a := v.book.choose(v.random, v.kind)
	v.operate(a)
	v.await(v.random.IntN(4000))
}

// await waits for some milliseconds.
func (s *soak) await(ms int) {
	select {
	case <-s.over.Done():
	case <-time.After(time.Duration(ms) * time.Millisecond):
	}
}

// operate makes a change, waits until it has ended, and compares both with the book.
func (v *service) operate(a action) {
	v.slots <- struct{}{}
	defer func() { <-v.slots }()
	code, begins := v.book.expects(a)
	greeting := v.greeting + 1
	if a == create || a == update || a == updateBad {
		v.greeting = greeting
	}
	if a == pause && begins {
		v.remember()
	}
	during := v.book.during(a, greeting)
	if begins && a != create {
		v.begin(during)
	}
	from := time.Now()
	id, err := v.attempt(a, greeting, code, begins)
	if err != nil {
		v.count("call "+string(a), "wrong")
		v.fail("%s, of a service that is %q: %v", a, v.book.status, err)
		return
	}
	v.count("call "+string(a), cmpOr(code, "ok"))
	v.apply(a)
	if !begins {
		v.note("%s: %s", a, cmpOr(code, "ok, nothing to do"))
		return
	}
	v.note("%s begins: operation %s", a, id)
	if v.random.IntN(4) == 0 && a != remove {
		v.rival(a, id)
	}
	v.finish(a, greeting, id, from)
}

func cmpOr(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// attempt makes a call, again and again if the server was killed meanwhile, until it is
// answered as it should be. It returns the id of the operation that it has begun.
func (v *service) attempt(a action, greeting int, code string, begins bool) (id string, err error) {
	for {
		from := time.Now()
		id, got, err := v.do(a, greeting)
		switch {
		case err == nil && got == code && (id != "") == begins:
			return id, nil
		case !v.disturbed(from, time.Now()):
			return "", fmt.Errorf("want exception %q, operation %t; got %q, operation %q, %w", code, begins, got, id, orNil(err))
		}
		v.note("%s was disturbed: %q, operation %q, %v", a, got, id, err)
		if begins { // the server may have died between its commit and its answer
			if id := v.found(a, greeting); id != "" {
				return id, nil
			}
		}
		<-time.After(50 * time.Millisecond)
	}
}

var errNothing = errors.New("no error")

func orNil(err error) error {
	if err == nil {
		return errNothing
	}
	return err
}

// found returns the operation that a call has begun whose answer was lost, "" for none.
func (v *service) found(a action, greeting int) string {
	if a == create {
		v.adopt(greeting)
	}
	if v.life == nil {
		return ""
	}
	list, err := v.operations(1)
	if err != nil || len(list) == 0 || aws.ToString(list[0].Id) == v.newest() {
		return ""
	}
	return *list[0].Id
}

// newest returns the id of the last operation that the book has.
func (v *service) newest() string {
	if v.life == nil || len(v.life.past) == 0 {
		return ""
	}
	return v.life.past[len(v.life.past)-1].id
}

// adopt finds a service whose creation was not answered.
func (v *service) adopt(greeting int) {
	out, err := v.client.ListServices(v.ctx, &apprunner.ListServicesInput{MaxResults: aws.Int32(20)})
	for err == nil {
		for _, sum := range out.ServiceSummaryList {
			if *sum.ServiceName == v.name {
				v.born(*sum.ServiceArn, *sum.ServiceUrl, greeting)
				return
			}
		}
		if out.NextToken == nil {
			return
		}
		out, err = v.client.ListServices(v.ctx, &apprunner.ListServicesInput{MaxResults: aws.Int32(20), NextToken: out.NextToken})
	}
}

// born notes the service of a creation.
func (v *service) born(arn, url string, greeting int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.life = &life{arn: arn, url: url, phases: []at{{time.Time{}, v.book.during(create, greeting)}}}
}

// rival has another client change the service meanwhile, which must be refused, or find
// nothing to do if the operation has ended by then.
func (v *service) rival(a action, id string) {
	from := time.Now()
	other := resume
	if a == pause {
		other = pause
	}
	begun, code, err := v.do(other, 0)
	switch {
	case err == nil && begun == "" && (code == "InvalidStateException" || code == ""):
		v.count("call of a rival", cmpOr(code, "nothing to do"))
	case !v.disturbed(from, time.Now()):
		v.fail("while operation %s was in progress, %s got %q, operation %q, %v", id, other, code, begun, err)
	}
}

// finish waits until an operation has ended, and brings the book up to date.
func (v *service) finish(a action, greeting int, id string, from time.Time) {
	ended, ok := v.ended(id)
	if !ok {
		return
	}
	v.note("%s: operation %s ended %s", a, id, ended)
	right := ended == a.ends()
	if !right && ended == a.fails() && a != pause && a != remove && v.instanceFault(v.name, from, time.Now()) {
		v.count("operation "+string(a), string(ended)+" after a kill")
		right = true
	} else {
		v.count("operation "+string(a), string(ended))
	}
	if !right {
		v.wrong.Add(1)
		v.fail("%s: operation %s ended %s, want %s", a, id, ended, a.ends())
	}
	if a == remove && ended == types.OperationStatusSucceeded {
		v.vanish()
	}
	v.mu.Lock()
	v.book = v.book.after(a, greeting, ended)
	v.life.past = append(v.life.past, done{id, a.kindOf(), ended})
	v.mu.Unlock()
	v.begin(v.book.rest())
	if a == resume && ended == types.OperationStatusSucceeded {
		v.recognise()
	}
	if !v.broken {
		v.compare()
	}
}

// vanish requires that a host is unknown as soon as its service is told to be deleted. A
// server that was disturbed meanwhile may not answer.
func (v *service) vanish() {
	o := v.request(v.life, v.fresh, "/")
	if o.code != "unknown_service" && !v.disturbed(o.begun, o.end) {
		v.fail("the host of the deleted service is still known: %v", o)
	}
}

// ended waits until an operation has ended. ok is false if it does not.
func (v *service) ended(id string) (status types.OperationStatus, ok bool) {
	const limit = 20 * time.Minute // longer than all its steps
	last := "nothing"
	for from := time.Now(); time.Since(from) < limit; {
		asked := time.Now()
		list, err := v.operations(3)
		if err != nil && !v.disturbed(asked, time.Now()) {
			v.fail("ListOperations: %v", err)
			return "", false
		}
		for _, o := range list {
			if *o.Id == id && o.EndedAt != nil {
				return o.Status, true
			}
			last = string(o.Status)
		}
		if v.ctx.Err() != nil {
			return "", false
		}
		<-time.After(100 * time.Millisecond)
	}
	v.wrong.Add(1)
	v.fail("operation %s does not end; the last answer was %s", id, last)
	return "", false
}

// operations returns the newest operations of the service.
func (v *service) operations(n int32) ([]types.OperationSummary, error) {
	out, err := v.client.ListOperations(v.ctx, &apprunner.ListOperationsInput{ServiceArn: &v.life.arn, MaxResults: &n})
	if err != nil {
		return nil, err
	}
	return out.OperationSummaryList, nil
}

// compare compares what the API says of the service with the book.
func (v *service) compare() {
	want := v.book.status
	if want == "" {
		want = types.ServiceStatusDeleted
	}
	for {
		from := time.Now()
		out, err := v.client.DescribeService(v.ctx, &apprunner.DescribeServiceInput{ServiceArn: &v.life.arn})
		switch {
		case err != nil && v.disturbed(from, time.Now()):
			continue
		case err != nil:
			v.fail("DescribeService: %v", err)
			return
		case out.Service.Status != want:
			v.fail("DescribeService says %s, want %s", out.Service.Status, want)
		}
		greets := out.Service.SourceConfiguration.ImageRepository.ImageConfiguration.RuntimeEnvironmentVariables["GREETING"]
		if want := v.greets(v.book.serves.greeting); v.book.status == types.ServiceStatusRunning && greets != want {
			v.fail("DescribeService has the greeting %q, want %q", greets, want)
		}
		return
	}
}

// greets is the greeting of a revision.
func (v *service) greets(revision int) string { return fmt.Sprintf("%s/%d", v.name, revision) }

// remember notes the process that answers before a pause that keeps it.
func (v *service) remember() {
	v.boot, v.paused = "", time.Now()
	if !slices.Contains(v.settings, "pause-keeps") {
		return
	}
	if o := v.request(v.life, v.fresh, "/"); o.err == nil && o.status == 200 {
		v.boot = o.boot
	}
}

// recognise checks after a resume that the process answers that was kept.
func (v *service) recognise() {
	if v.boot == "" || v.instanceFault(v.name, v.paused, time.Now()) {
		return
	}
	o := v.request(v.life, v.fresh, "/")
	if o.err == nil && o.status == 200 && o.boot != v.boot {
		v.fail("after a pause that keeps, another process answers: %s, before it %s", o.boot, v.boot)
	}
	v.count("kept process", "answers after a resume")
}

// spec is the configuration of a revision.
func (v *service) spec(greeting int) harness.Spec {
	p := harness.Spec{Image: v.image, Env: map[string]string{"GREETING": v.greets(greeting)}}
	if v.secret {
		p.Secrets = map[string]string{"TOKEN": v.parameter()}
	}
	return p
}

// parameter is the name of the service's secret.
func (v *service) parameter() string { return "/soak/" + v.name }
