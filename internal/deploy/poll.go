package deploy

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/sync/errgroup"

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
	pollAtOnce  = 4               // repositories
	pollTimeout = time.Minute     // of one question
	pollLongest = time.Hour       // between questions about a repository that does not answer
)

// Poll starts automatic deployments of code: it asks the repositories of running
// services with AutoDeploymentsEnabled which commit their branch is at. A commit that
// is not deployed and has not been tried is deployed if it changes the source
// directory. As a deployment takes the newest commit, many pushes become one.
type Poll struct {
	plans *Plans
	cfg   PollConfig

	mu       sync.Mutex
	services map[string]*polled // by id
}

// polled is what is known of one service between two questions.
type polled struct {
	due       time.Time
	failures  int    // in a row
	unchanged string // commit that does not change the source directory
	since     string // commit that runs, for unchanged
}

// NewPoll returns a Poll for the plans, whose Code it asks.
func (p *Plans) NewPoll(cfg PollConfig) *Poll {
	if cfg.Every <= 0 {
		cfg.Every = time.Minute
	}
	return &Poll{plans: p, cfg: cfg, services: map[string]*polled{}}
}

// Run polls until ctx ends.
func (l *Poll) Run(ctx context.Context) error {
	return loop.Run(ctx, loop.Config{
		Name: "code-polling", Log: l.cfg.Log, Set: l.cfg.Loops, First: pollPass, Every: pollPass,
	}, l.pass)
}

// pass asks about the services that are due.
func (l *Poll) pass(ctx context.Context) error {
	var services []slipway.ServiceView
	err := l.plans.cfg.Store.View(ctx, func(tx *store.Tx) (err error) { services, err = tx.Services(time.Time{}, "", 0); return err })
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(pollAtOnce)
	for _, v := range l.due(services, time.Now()) {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, pollTimeout)
			defer cancel()
			l.reschedule(v, l.ask(ctx, v))
			return nil
		})
	}
	return group.Wait()
}

// due returns the services to ask about now, and forgets those that are not polled. A
// service's first question comes at a random time within the interval.
func (l *Poll) due(services []slipway.ServiceView, now time.Time) (list []slipway.ServiceView) {
	l.mu.Lock()
	defer l.mu.Unlock()
	followed := map[string]*polled{}
	for _, v := range services {
		if !followsCode(v) {
			continue
		}
		s := l.services[v.ID]
		if s == nil {
			s = &polled{due: now.Add(rand.N(l.cfg.Every))}
		}
		followed[v.ID] = s
		if v.Live == nil && !now.Before(s.due) {
			list = append(list, v)
		}
	}
	l.services = followed
	return list
}

// followsCode reports whether pushes to a service's repository deploy it.
func followsCode(v slipway.ServiceView) bool {
	s := v.Spec.Source
	return s.CodeRepository != nil && aws.ToBool(s.AutoDeploymentsEnabled) &&
		v.Wanted == slipway.WantedRunning && v.Status == slipway.StatusRunning && v.ActiveRelease != ""
}

// reschedule decides when to ask about a service again.
func (l *Poll) reschedule(v slipway.ServiceView, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.services[v.ID]
	if s == nil {
		return
	}
	pause := l.cfg.Every
	if err == nil {
		s.failures = 0
	} else {
		s.failures++
		pause = min(l.cfg.Every<<min(s.failures, 10), max(pollLongest, l.cfg.Every))
		l.cfg.Log.Warn("cannot poll a code repository", "service", v.ID, "failures", s.failures, "next", pause, "err", err)
	}
	s.due = time.Now().Add(pause - pause/5 + rand.N(2*pause/5+1))
}

// known is what the store knows of a service's code.
type known struct {
	repository source.Repository
	release    slipway.CodeVersion
	tried      map[string]bool // commits of recent deployments
}

// ask finds out whether a service is to be deployed, and if so records that.
func (l *Poll) ask(ctx context.Context, v slipway.ServiceView) error {
	k, err := l.read(ctx, v)
	if err != nil {
		return err
	}
	commit, err := l.plans.cfg.Code.Commit(ctx, k.repository)
	if err != nil || commit == k.release.Commit || k.tried[commit] {
		return err
	}
	if l.isUnchanged(v.ID, k.release.Commit, commit) {
		return nil
	}
	if k.repository.Directory != "" {
		directory, err := l.plans.cfg.Code.Directory(ctx, k.repository, commit)
		if err != nil {
			return err
		}
		if directory != "" && directory == k.release.Directory {
			l.setUnchanged(v.ID, k.release.Commit, commit)
			return nil
		}
	}
	l.cfg.Log.Info("new commit", "service", v.ID, "commit", commit)
	return l.plans.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		now, err := tx.Service(v.ID)
		if err != nil || !followsCode(now) {
			return err
		}
		return tx.PutPendingDeployment(v.ID, time.Now())
	})
}

// recentOperations is how many of a service's operations are searched for commits
// that were tried.
const recentOperations = 10

func (l *Poll) read(ctx context.Context, v slipway.ServiceView) (k known, err error) {
	err = l.plans.cfg.Store.View(ctx, func(tx *store.Tx) error {
		r, err := tx.Release(v.ActiveRelease)
		if err != nil {
			return err
		}
		if r.Code == nil {
			return errors.New("the active release was not built from code")
		}
		k.release = *r.Code
		if k.repository, err = l.plans.repository(tx, v.Service, v.Spec.Source); err != nil {
			return err
		}
		ops, err := tx.OperationsOf(v.ID, time.Time{}, "", recentOperations)
		k.tried = map[string]bool{}
		for _, op := range ops {
			st, err := load(&op)
			if err == nil && st.Code != nil && op.Kind == slipway.StartDeployment {
				k.tried[st.Code.Commit] = true
			}
		}
		return err
	})
	return k, err
}

func (l *Poll) isUnchanged(service, since, commit string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.services[service]
	return s != nil && s.unchanged == commit && s.since == since
}

func (l *Poll) setUnchanged(service, since, commit string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.services[service]; s != nil {
		s.since, s.unchanged = since, commit
	}
}
