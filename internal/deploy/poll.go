package deploy

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/loop"
	"github.com/openslipway/slipway/internal/source"
	"github.com/openslipway/slipway/internal/store"
)

// PollConfig says how code repositories are polled.
type PollConfig struct {
	Every time.Duration // between two questions about one service; a minute when 0
	Log   *slog.Logger
	Loops *loop.Set // keeps the loop's status; may be nil
}

const (
	pollPass    = 2 * time.Second // between looks for services that are due
	pollAtOnce  = 8               // repositories
	pollTimeout = time.Minute     // of one question
	pollLongest = time.Hour       // between questions about a repository that does not answer

	// A service whose pushes are announced by webhooks is asked about more rarely: this many
	// times the interval, while the last push was announced within pollAnnounced.
	pollRarely    = 10
	pollAnnounced = 7 * 24 * time.Hour

	// A server that has announced a push may not show it at once: when nothing is new, it
	// is asked again a few times.
	pollAgain      = 3
	pollAgainPause = 5 * time.Second
)

// Poll starts automatic deployments of code: it asks the repositories of running
// services with AutoDeploymentsEnabled which commit their branch is at. A commit that
// is not deployed and has not been tried is deployed if it changes the source
// directory. As a deployment takes the newest commit, many pushes become one.
//
// Webhooks wake it (Pushed): then it asks at once, and more rarely without one.
//
// The repository of a paused service is not asked; it is at once after the resume, so
// that what was pushed meanwhile is deployed.
type Poll struct {
	plans *Plans
	cfg   PollConfig
	slots chan struct{} // one for each question that runs
	nudge chan struct{} // a push was announced
	all   sync.WaitGroup

	mu       sync.Mutex
	services map[string]*polled // by id
}

// polled is what is known of one service between two questions.
type polled struct {
	due      time.Time
	asking   bool
	failures int // in a row

	announced bool      // a push was announced since the last question began
	again     int       // questions left about a push that was announced and not found
	last      time.Time // when a push was last announced; zero when pushes come without
}

// NewPoll returns a Poll for the plans, whose Code it asks.
func (p *Plans) NewPoll(cfg PollConfig) *Poll {
	if cfg.Every <= 0 {
		cfg.Every = time.Minute
	}
	return &Poll{plans: p, cfg: cfg, slots: make(chan struct{}, pollAtOnce), nudge: make(chan struct{}, 1), services: map[string]*polled{}}
}

// Run polls until ctx ends.
func (l *Poll) Run(ctx context.Context) error {
	defer l.all.Wait()
	watch := l.plans.cfg.Store.Watch(store.Operations) // a resume is seen at once
	defer watch.Close()
	services := &polledServices{store: l.plans.cfg.Store, watch: watch, polls: deploysPushes}
	return loop.Run(ctx, loop.Config{
		Name: "code-polling", Log: l.cfg.Log, Set: l.cfg.Loops, Watch: watch.C, Nudge: l.nudge, First: pollPass, Every: pollPass,
	}, func(ctx context.Context) error { return l.pass(ctx, services) })
}

// pass starts the questions about the services that are due. It waits for none: a
// repository that does not answer delays no other.
func (l *Poll) pass(ctx context.Context, services *polledServices) error {
	list, err := services.read(ctx)
	if err != nil {
		return err
	}
	for _, q := range l.due(list, time.Now()) {
		l.all.Go(func() {
			select {
			case l.slots <- struct{}{}:
				defer func() { <-l.slots }()
			case <-ctx.Done():
				return
			}
			ctx, cancel := context.WithTimeout(ctx, pollTimeout)
			defer cancel()
			o, err := l.ask(ctx, q)
			l.reschedule(q, o, err)
		})
	}
	return nil
}

// Pushed has the services of the repository and the branch of a push asked about at
// once, those with a live operation after it. It returns how many there are. What was
// announced is lost in a crash: the next process asks about every service soon after its
// start.
func (l *Poll) Pushed(ctx context.Context, p slipway.Push) (services int, err error) {
	var list []slipway.ServiceView
	err = l.plans.cfg.Store.ViewUnsynced(ctx, func(tx *store.Tx) (err error) { list, err = tx.Services(time.Time{}, "", 0); return err })
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range list {
		if !deploysPushes(v) || isPaused(v) || !source.Moved(v.Spec.Source, p) {
			continue
		}
		s := l.services[v.ID]
		if s == nil {
			s = &polled{}
			l.services[v.ID] = s
		}
		now := time.Now()
		s.announced, s.due, s.last, s.again = true, now, now, pollAgain
		services++
	}
	if services > 0 {
		select {
		case l.nudge <- struct{}{}:
		default:
		}
	}
	return services, nil
}

// question is one to ask about a service.
type question struct {
	service slipway.ServiceView
}

// due returns the questions to ask now, and forgets services that are not polled. A
// service's first question comes at a random time within the interval, and that after
// a resume at once.
func (l *Poll) due(services []slipway.ServiceView, now time.Time) (list []question) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := map[string]*polled{}
	for _, v := range services {
		if !deploysPushes(v) {
			continue
		}
		s := l.services[v.ID]
		if s == nil {
			s = &polled{due: now.Add(rand.N(l.cfg.Every))}
		}
		known[v.ID] = s
		switch {
		case isPaused(v):
			s.due = now
		case followsCode(v) && v.Live == nil && !s.asking && !now.Before(s.due):
			list = append(list, question{v})
			s.asking, s.announced = true, false
		}
	}
	l.services = known
	return list
}

// deploysPushes reports whether pushes deploy a service while it runs. An upload never
// changes.
func deploysPushes(v slipway.ServiceView) bool {
	s := v.Spec.Source
	return s.CodeRepository != nil && !slipway.IsUploadURL(aws.ToString(s.CodeRepository.RepositoryUrl)) && aws.ToBool(s.AutoDeploymentsEnabled) && v.ActiveRelease != ""
}

// isPaused reports whether a service is paused, or about to be no longer.
func isPaused(v slipway.ServiceView) bool {
	return v.Status == slipway.StatusPaused || v.Live != nil && v.Live.Kind == slipway.ResumeService
}

// followsCode reports whether pushes to a service's repository deploy it now.
func followsCode(v slipway.ServiceView) bool {
	return deploysPushes(v) && runs(v)
}

func runs(v slipway.ServiceView) bool {
	return v.Wanted == slipway.WantedRunning && v.Status == slipway.StatusRunning
}

// reschedule decides when to ask about a service again.
func (l *Poll) reschedule(q question, o outcome, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.services[q.service.ID]
	if s == nil {
		return
	}
	s.asking = false
	if o == busy { // asked at once when no operation is live
		s.due = time.Now()
		select {
		case l.nudge <- struct{}{}:
		default:
		}
		return
	}
	if err == nil {
		s.failures = 0
	} else {
		s.failures++
	}
	pause := s.pause(l.cfg.Every, o, err, time.Now())
	if err != nil {
		l.cfg.Log.Warn("cannot poll a code repository", "service", q.service.ID, "failures", s.failures, "next", pause, "err", err)
	}
	if !s.announced {
		s.due = time.Now().Add(spread(pause))
	}
}

// pause returns about how long to wait after an answer.
func (s *polled) pause(every time.Duration, o outcome, err error, now time.Time) time.Duration {
	announced := s.again > 0
	switch {
	case err != nil:
		return backOff(every, s.failures)
	case o == found && !announced:
		s.last = time.Time{} // this push was not announced: webhooks do not arrive
	case o == found:
		if !s.announced { // else the next question is about another push, or the same one
			s.again = 0
		}
	case announced:
		s.again--
		return min(pollAgainPause, every)
	}
	if now.Sub(s.last) < pollAnnounced {
		return pollRarely * every
	}
	return every
}

// known is what the store knows of a service's code.
type known struct {
	repository source.Repository
	release    slipway.CodeVersion
	tried      map[string]bool // commits of recent deployments
	passed     string          // commit that is not deployed
}

// outcome is what a question led to.
type outcome int

const (
	nothing outcome = iota // there is no new commit
	found                  // there is one, be it deployed or not
	busy                   // the service was changed or paused meanwhile: ask again
)

// ask finds out whether a service is to be deployed, and if so records that.
func (l *Poll) ask(ctx context.Context, q question) (o outcome, err error) {
	var k known
	err = l.plans.cfg.Store.ViewUnsynced(ctx, func(tx *store.Tx) (err error) { k, err = l.read(tx, q.service); return err })
	if err != nil {
		return nothing, err
	}
	commit, err := l.plans.cfg.Code.Commit(ctx, k.repository)
	if err != nil || k.has(commit) {
		return nothing, err
	}
	changed := true
	if k.repository.Directory != "" {
		directory, err := l.plans.cfg.Code.Directory(ctx, k.repository, commit)
		if err != nil {
			return nothing, err
		}
		changed = directory == "" || directory != k.release.Directory
	}
	err = l.plans.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		now, err := tx.Service(q.service.ID)
		switch {
		case err != nil || !followsCode(now):
			return err
		case now.Live != nil:
			o = busy
			return nil
		}
		latest, err := l.read(tx, now)
		if err != nil || latest.has(commit) {
			return err
		}
		if placeOf(latest.repository) != placeOf(k.repository) {
			o = busy
			return nil
		}
		o = found
		if !changed {
			return tx.PutPassedCommit(now.ID, placeOf(k.repository), commit)
		}
		l.cfg.Log.Info("new commit", "service", now.ID, "commit", commit)
		return tx.PutPendingDeployment(now.ID, time.Now())
	})
	return o, err
}

// has reports whether there is nothing to do about a commit.
func (k known) has(commit string) bool {
	return commit == k.release.Commit || commit == k.passed || k.tried[commit]
}

// placeOf names what of which repository is followed: commits elsewhere are other
// commits.
func placeOf(r source.Repository) string { return r.URL + "\n" + r.Branch + "\n" + r.Directory }

// recentOperations is how many of a service's operations are searched for commits
// that were tried.
const recentOperations = 10

func (l *Poll) read(tx *store.Tx, v slipway.ServiceView) (k known, err error) {
	r, err := tx.Release(v.ActiveRelease)
	if err != nil {
		return k, err
	}
	if r.Code == nil {
		return k, errors.New("the active release was not built from code")
	}
	k.release = *r.Code
	if k.repository, err = l.plans.repository(tx, v.Service, v.Spec); err != nil {
		return k, err
	}
	if k.passed, err = tx.PassedCommit(v.ID, placeOf(k.repository)); err != nil && !errors.Is(err, store.ErrNotFound) {
		return k, err
	}
	ops, err := tx.OperationsOf(v.ID, time.Time{}, "", recentOperations)
	k.tried = map[string]bool{}
	for _, op := range ops {
		st, err := load(&op)
		if err == nil && st.Code != nil && op.Kind == slipway.StartDeployment {
			k.tried[st.Code.Commit] = true
		}
	}
	return k, err
}
