package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/openslipway/slipway/e2e/harness"
)

// soakEnv says how long the soak lasts. `make soak` and `make long` set it.
const soakEnv = "SLIPWAY_TEST_SOAK"

const (
	long       = 3 * time.Minute // a soak that lasts as long has all services
	checkEvery = 3 * time.Minute
	atOnce     = 4 // operations
)

// soak is the run. Only its report and its services change after the start.
type soak struct {
	*harness.Server
	client         *apprunner.Client
	parameters     *ssm.Client
	keys           aws.Credentials
	env            []string // of the command line
	http, registry string
	fresh, kept    *http.Client // with a connection for each request, and with kept ones
	began          time.Time
	seed           uint64
	services       []*service
	slots          chan struct{}
	ctx            context.Context // of calls and requests
	over           context.Context // ends when the time is over: what has begun ends then by itself
	all            sync.WaitGroup  // what runs during it
	wrong          atomic.Int64    // operations

	// quiet is held by whoever does something, and by a checkpoint against all of them.
	quiet sync.RWMutex

	mu     sync.Mutex // guards what follows
	faults []fault
	counts map[string]map[string]int // by what and by outcome
	failed []string
	leaks  []string
}

// TestSoak is the soak.
func TestSoak(t *testing.T) {
	lasts, err := time.ParseDuration(os.Getenv(soakEnv))
	if err != nil {
		t.Skipf("it lasts as long as one says: `make soak` runs it (%s=15m)", soakEnv)
	}
	s := begin(t, lasts)
	defer s.report()
	s.warmUp()
	before := s.settled()
	over, stop := context.WithTimeout(t.Context(), lasts)
	defer stop()
	s.over = over
	for _, v := range s.services {
		s.all.Go(func() { v.drive() })
		for n := range v.clients {
			client := []*http.Client{s.kept, s.fresh}[n%2]
			s.all.Go(func() { v.visits(s.random(v.name, "client", n), client) })
		}
	}
	s.all.Go(func() { s.harms(s.random("faults")) })
	s.all.Go(func() { s.others(s.random("others")) })
	s.watch()
	s.all.Wait()
	s.check("at the end")
	if !t.Failed() {
		s.deleteAll()
		s.compareLeft(before)
	}
}

// begin starts the server and makes what the services need.
func begin(t *testing.T, lasts time.Duration) *soak {
	s := &soak{seed: harness.Seed(t), slots: make(chan struct{}, atOnce), counts: map[string]map[string]int{}, ctx: t.Context(), over: t.Context()}
	s.Server = harness.Prepare(t, nil, "--api-addr", harness.FreeAddr(t), "--http-addr", harness.FreeAddr(t))
	s.Hold("http", "api") // as systemd does: connections wait while the server starts
	s.Start()
	s.client, s.parameters, s.keys = s.Client(), ssm.NewFromConfig(s.SDK()), s.Keys()
	s.http, s.registry, s.env = s.HTTP, s.RegistryHost(), s.ClientEnv()
	const patience = 5 * time.Minute // longer than any request may take
	s.kept = &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	s.fresh = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	for _, k := range kinds {
		count := k.many
		if lasts < long {
			count = 1
		}
		for n := range count {
			v := &service{soak: s, kind: k, name: fmt.Sprintf("%s-%d", k.name, n+1)}
			v.random, v.image = s.random(v.name), harness.ECRImage(v.name+":live")
			s.services = append(s.services, v)
		}
	}
	return s
}

// random returns the random numbers of a part of the soak, which depend on the seed only.
func (s *soak) random(part ...any) *rand.Rand {
	n := uint64(1)
	for _, b := range fmt.Append(nil, part...) {
		n = n*1099511628211 ^ uint64(b)
	}
	return rand.New(rand.NewPCG(s.seed, n))
}

// warmUp makes each service once and deletes it again, so that the server has made what it
// keeps: sandboxes ahead of need, unpacked images, caches.
func (s *soak) warmUp() {
	s.began = time.Now()
	for _, v := range s.services {
		if v.scaling != (scaling{}) {
			v.scales = s.CreateAutoScaling(v.name, v.scaling.concurrency, v.scaling.least, v.scaling.most)
		}
		v.operate(push)
		if v.secret {
			v.operate(put)
		}
	}
	var wg sync.WaitGroup
	for _, v := range s.services {
		wg.Go(func() {
			v.operate(create)
			v.operate(remove)
		})
	}
	wg.Wait()
	if s.T.Failed() {
		s.T.FailNow()
	}
}

// drive changes a service at random until the soak ends.
func (v *service) drive() {
	v.quiet.RLock()
	v.operate(create)
	v.quiet.RUnlock()
	for v.over.Err() == nil && !v.broken {
		v.quiet.RLock()
		v.act()
		v.quiet.RUnlock()
	}
}

// harms has faults happen until the soak ends.
func (s *soak) harms(random *rand.Rand) {
	for s.over.Err() == nil {
		s.await(2000 + random.IntN(6000))
		s.harm(random)
	}
}

// watch says each minute how it goes, and checks now and then, until the time is over.
func (s *soak) watch() {
	minute, check := time.NewTicker(time.Minute), time.NewTicker(checkEvery)
	defer minute.Stop()
	defer check.Stop()
	for {
		select {
		case <-s.over.Done():
			return
		case <-minute.C:
			s.line()
		case <-check.C:
			s.check("meanwhile")
		}
	}
}

// deleteAll deletes the services.
func (s *soak) deleteAll() {
	var wg sync.WaitGroup
	for _, v := range s.services {
		if v.book.status != "" {
			wg.Go(func() { v.operate(remove) })
		}
	}
	wg.Wait()
}

// names returns the names of the services that there should be.
func (s *soak) names() (list []string) {
	for _, v := range s.services {
		if v.book.status != "" {
			list = append(list, v.name)
		}
	}
	slices.Sort(list)
	return list
}
