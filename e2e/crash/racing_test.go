package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/aws/smithy-go"

	"github.com/openslipway/slipway/e2e/harness"
)

const (
	racers = 32
	racing = time.Minute
	rivals = 8 // services that the racers share
	marks  = 3 // tag keys
)

// call is one call of a racer and its outcome, which [serial] judges.
type call struct {
	name string // of the service
	do   string
	arn  string // of the call, or of the answer to create
	n    int    // the greeting or the tag's value that it sets
	mark int    // the tag

	code     string // exception, "" for success
	started  bool   // an operation was begun
	status   types.ServiceStatus
	greeting int
	tags     [marks]int // values, 0 where there is no tag
}

// serviceState is the state of the service of one name in the sequential model.
type serviceState struct {
	arn            string // "" while no service has the name
	status         types.ServiceStatus
	live           string // the call whose operation runs, or ""
	greeting, next int
	tags           [marks]int
}

// end returns the state after the live operation has succeeded.
func (s serviceState) end() serviceState {
	switch s.live {
	case "create", "resume":
		s.status = types.ServiceStatusRunning
	case "update":
		s.greeting = s.next
	case "pause":
		s.status = types.ServiceStatusPaused
	case "delete":
		return serviceState{}
	}
	s.live = ""
	return s
}

func (s serviceState) begin(kind string) serviceState {
	s.live = kind
	return s
}

// step reports whether the call can have had its outcome in this state, and returns
// the state after it.
func (s serviceState) step(c call) (bool, serviceState) {
	const (
		invalid = "InvalidRequestException"
		state   = "InvalidStateException"
		missing = "ResourceNotFoundException"
	)
	if c.do == "create" {
		if s.arn != "" {
			return c.code == invalid, s
		}
		return c.code == "", serviceState{arn: c.arn, live: "create", greeting: c.n}
	}
	if c.arn != s.arn { // a deleted one: nobody knows a new service's ARN before it exists
		return c.code == missing || c.do == "describe" && c.code == "" && c.status == types.ServiceStatusDeleted, s
	}
	switch c.do {
	case "describe":
		status, greeting := s.status, s.greeting
		if s.live != "" {
			status = types.ServiceStatusOperationInProgress
		}
		if s.live == "update" {
			greeting = s.next
		}
		return c.code == "" && c.status == status && c.greeting == greeting, s
	case "tags":
		return c.code == "" && c.tags == s.tags, s
	case "tag":
		s.tags[c.mark] = c.n
		return c.code == "", s
	case "untag":
		s.tags[c.mark] = 0
		return c.code == "", s
	}
	if s.live != "" {
		return c.code == state, s
	}
	switch {
	case c.do == "update" && s.status == types.ServiceStatusPaused:
		return c.code == state, s
	case c.do == "update":
		s.next = c.n
	case c.do == "pause" && s.status == types.ServiceStatusPaused, c.do == "resume" && s.status == types.ServiceStatusRunning:
		return c.code == "" && !c.started, s
	}
	return c.code == "" && c.started, s.begin(c.do)
}

// serial is the sequential model of one name. An operation may end before any call.
var serial = (&porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		by := map[string][]porcupine.Operation{}
		for _, o := range history {
			name := o.Input.(call).name
			by[name] = append(by[name], o)
		}
		var parts [][]porcupine.Operation
		for _, p := range by {
			parts = append(parts, p)
		}
		return parts
	},
	Init: func() []any { return []any{serviceState{}} },
	Step: func(state, input, _ any) []any {
		var next []any
		before := state.(serviceState)
		for _, s := range []serviceState{before, before.end()} {
			if ok, after := s.step(input.(call)); ok {
				next = append(next, after)
			}
			if before.live == "" {
				break // nothing to end
			}
		}
		return next
	},
}).ToModel()

// TestSerialOrder checks the checker with short histories.
func TestSerialOrder(t *testing.T) {
	t.Parallel()
	create := call{do: "create", arn: "a", n: 1, started: true}
	update := func(n int) call { return call{do: "update", arn: "a", n: n, started: true} }
	shows := func(status types.ServiceStatus, greeting int) call {
		return call{do: "describe", arn: "a", status: status, greeting: greeting}
	}
	running := shows(types.ServiceStatusRunning, 1)
	for _, c := range []struct {
		name  string
		calls []call
		ok    bool
	}{
		{"an operation ends by itself", []call{create, running, update(2), shows(types.ServiceStatusRunning, 2)}, true},
		{"an update is lost", []call{create, running, update(2), running}, false},
		{"two operations at once", []call{create, shows(types.ServiceStatusOperationInProgress, 1), update(2), shows(types.ServiceStatusOperationInProgress, 1)}, false},
		{"a tag is lost", []call{create, {do: "tag", arn: "a", n: 7}, {do: "tags", arn: "a"}}, false},
		{"a tag stays", []call{create, {do: "tag", arn: "a", n: 7}, {do: "tags", arn: "a", tags: [marks]int{7}}}, true},
		{"two services of a name", []call{create, {do: "create", arn: "b", n: 1, started: true}}, false},
		{"a name that comes free", []call{create, running, {do: "delete", arn: "a", started: true}, {do: "create", arn: "b", n: 1, started: true}}, true},
		{"a deleted service comes back", []call{create, running, {do: "delete", arn: "a", started: true}, shows(types.ServiceStatusDeleted, 0), running}, false},
	} {
		var history []porcupine.Operation
		for i, one := range c.calls { // one after another
			history = append(history, porcupine.Operation{Input: one, Call: int64(2 * i), Return: int64(2*i + 1)})
		}
		if got := porcupine.CheckOperations(serial, history); got != c.ok {
			t.Errorf("%s: accepted %t", c.name, got)
		}
	}
}

// racer makes random calls and records their outcomes.
type racer struct {
	t      *testing.T
	client *apprunner.Client
	image  string
	random *rand.Rand
	arns   *sync.Map // newest ARN by name
	values *atomic.Int64
}

// choose picks the next call.
func (r racer) choose() call {
	c := call{name: fmt.Sprintf("rival-%d", r.random.IntN(rivals)), mark: r.random.IntN(marks), n: int(r.values.Add(1))}
	arn, ok := r.arns.Load(c.name)
	if !ok {
		c.do = "create"
		return c
	}
	c.arn = arn.(string)
	kinds := []string{
		"create", "update", "update", "update", "pause", "pause", "resume", "resume", "delete",
		"tag", "tag", "untag", "tags", "tags", "describe", "describe",
	}
	c.do = kinds[r.random.IntN(len(kinds))]
	return c
}

// make makes the call.
func (r racer) make(ctx context.Context, c call) (call, error) {
	var err error
	switch c.do {
	case "create":
		var out *apprunner.CreateServiceOutput
		out, err = r.client.CreateService(ctx, &apprunner.CreateServiceInput{
			ServiceName: &c.name, SourceConfiguration: r.source(c.n), HealthCheckConfiguration: harness.QuickHealthCheck(),
			InstanceConfiguration: &types.InstanceConfiguration{Cpu: aws.String("256"), Memory: aws.String("512")},
		})
		if err == nil {
			c.arn, c.started = *out.Service.ServiceArn, true
			r.arns.Store(c.name, c.arn)
		}
	case "update":
		_, err = r.client.UpdateService(ctx, &apprunner.UpdateServiceInput{ServiceArn: &c.arn, SourceConfiguration: r.source(c.n)})
		c.started = err == nil
	case "pause":
		var out *apprunner.PauseServiceOutput
		out, err = r.client.PauseService(ctx, &apprunner.PauseServiceInput{ServiceArn: &c.arn})
		c.started = err == nil && out.OperationId != nil
	case "resume":
		var out *apprunner.ResumeServiceOutput
		out, err = r.client.ResumeService(ctx, &apprunner.ResumeServiceInput{ServiceArn: &c.arn})
		c.started = err == nil && out.OperationId != nil
	case "delete":
		_, err = r.client.DeleteService(ctx, &apprunner.DeleteServiceInput{ServiceArn: &c.arn})
		c.started = err == nil
	case "tag":
		_, err = r.client.TagResource(ctx, &apprunner.TagResourceInput{ResourceArn: &c.arn, Tags: []types.Tag{
			{Key: aws.String(strconv.Itoa(c.mark)), Value: aws.String(strconv.Itoa(c.n))},
		}})
	case "untag":
		_, err = r.client.UntagResource(ctx, &apprunner.UntagResourceInput{ResourceArn: &c.arn, TagKeys: []string{strconv.Itoa(c.mark)}})
	default:
		err = r.read(ctx, &c)
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		c.code = api.ErrorCode()
		if c.code == "InternalServiceErrorException" {
			return c, fmt.Errorf("%s of %s: %w", c.do, c.name, err)
		}
		return c, nil
	}
	return c, err
}

// read makes the calls that only read.
func (r racer) read(ctx context.Context, c *call) error {
	if c.do == "describe" {
		out, err := r.client.DescribeService(ctx, &apprunner.DescribeServiceInput{ServiceArn: &c.arn})
		if err != nil {
			return err
		}
		c.status = out.Service.Status
		c.greeting, err = strconv.Atoi(out.Service.SourceConfiguration.ImageRepository.ImageConfiguration.RuntimeEnvironmentVariables["GREETING"])
		return err
	}
	out, err := r.client.ListTagsForResource(ctx, &apprunner.ListTagsForResourceInput{ResourceArn: &c.arn})
	if err != nil {
		return err
	}
	for _, tag := range out.Tags {
		mark, err := strconv.Atoi(*tag.Key)
		if err != nil {
			return err
		}
		if c.tags[mark], err = strconv.Atoi(*tag.Value); err != nil {
			return err
		}
	}
	return nil
}

func (r racer) source(greeting int) *types.SourceConfiguration {
	return harness.Spec{Image: r.image, Env: map[string]string{"GREETING": strconv.Itoa(greeting)}}.Source()
}

// TestRacingClients has many clients change the same services at once. No call may
// fail by the server's fault, and the outcomes of all calls must be those of some
// sequential order of them.
func TestRacingClients(t *testing.T) {
	t.Parallel()
	s := harness.ServeRaced(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	image := s.Push(harness.WebImage(t, "1"), "web:1")
	arns, values := &sync.Map{}, &atomic.Int64{}
	began := time.Now()
	var mu sync.Mutex // guards history
	var history []porcupine.Operation
	// note makes a call and records it.
	note := func(ctx context.Context, id int, r racer, c call) {
		from := time.Since(began)
		done, err := r.make(ctx, c)
		to := time.Since(began)
		if err != nil {
			t.Errorf("client %d: %v", id, err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		history = append(history, porcupine.Operation{ClientId: id, Input: done, Call: int64(from), Return: int64(to)})
	}

	// Without retries, which would hide what failed.
	client := apprunner.New(s.Client().Options(), func(o *apprunner.Options) { o.Retryer = aws.NopRetryer{} })
	var wg sync.WaitGroup
	for id := range racers {
		wg.Go(func() {
			r := racer{t, client, image, rand.New(rand.NewPCG(seed, uint64(id))), arns, values}
			for time.Since(began) < racing && !t.Failed() {
				note(t.Context(), id, r, r.choose())
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}

	// The final state: what the API describes must be what answers.
	last := racer{t, client, image, nil, arns, values}
	for _, name := range waitIdle(s, arns) {
		arn, _ := arns.Load(name)
		for _, do := range []string{"describe", "tags"} {
			note(t.Context(), racers, last, call{name: name, do: do, arn: arn.(string)})
		}
		answersAsDescribed(s, arn.(string))
		assertOneByOne(s, arn.(string))
	}
	t.Log(tally(history))
	if !porcupine.CheckOperations(serial, history) {
		t.Error("no serial order of the calls explains their outcomes")
	}
}

// waitIdle waits until no operation runs and returns the names that were used.
func waitIdle(s *harness.Server, arns *sync.Map) []string {
	s.T.Helper()
	var names []string
	arns.Range(func(name, arn any) bool {
		names = append(names, name.(string))
		harness.Eventually(s.T, name.(string)+" rests", func() (bool, string) {
			a := arn.(string)
			out, err := s.Client().DescribeService(s.T.Context(), &apprunner.DescribeServiceInput{ServiceArn: &a})
			if err != nil {
				return false, err.Error()
			}
			return out.Service.Status != types.ServiceStatusOperationInProgress, string(out.Service.Status)
		})
		return true
	})
	slices.Sort(names)
	return names
}

// answersAsDescribed checks that a running service greets as its configuration
// says: the update that came last is the one that runs.
func answersAsDescribed(s *harness.Server, arn string) {
	s.T.Helper()
	out, err := s.Client().DescribeService(s.T.Context(), &apprunner.DescribeServiceInput{ServiceArn: &arn})
	if err != nil {
		s.T.Fatal(err)
	}
	if out.Service.Status == types.ServiceStatusRunning {
		s.AskMany(out.Service, 1, out.Service.SourceConfiguration.ImageRepository.ImageConfiguration.RuntimeEnvironmentVariables["GREETING"])
	}
}

// assertOneByOne checks that a service's operations all succeeded and that each
// began after the one before it had ended.
func assertOneByOne(s *harness.Server, arn string) {
	s.T.Helper()
	out, err := s.Client().ListOperations(s.T.Context(), &apprunner.ListOperationsInput{ServiceArn: &arn})
	if err != nil {
		s.T.Fatal(err)
	}
	list := out.OperationSummaryList // newest first
	for i, o := range list {
		if o.Status != types.OperationStatusSucceeded {
			s.T.Errorf("%s: %s ended %s", arn, o.Type, o.Status)
		}
		if i > 0 && o.EndedAt.After(*list[i-1].StartedAt) {
			s.T.Errorf("%s: %s ran until %v, when %s had begun at %v", arn, o.Type, o.EndedAt, list[i-1].Type, list[i-1].StartedAt)
		}
	}
}

// tally counts calls by kind and outcome.
func tally(history []porcupine.Operation) string {
	count := map[string]int{}
	for _, o := range history {
		c := o.Input.(call)
		outcome := c.code
		if outcome == "" {
			outcome = "ok"
		}
		count[c.do+" "+outcome]++
	}
	return fmt.Sprintf("%d calls: %v", len(history), count)
}
