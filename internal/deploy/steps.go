package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/operation"
	"github.com/openslipway/slipway/internal/source"
	"github.com/openslipway/slipway/internal/store"
)

// spec returns the specification to deploy: the operation's input if it has one,
// otherwise the service's.
func (p *Plans) spec(tx *store.Tx, op *slipway.Operation) (slipway.Spec, error) {
	if op.Input.Spec != nil {
		return *op.Input.Spec, nil
	}
	v, err := tx.Service(op.ServiceID)
	return v.Spec, err
}

// resolve resolves the source to a digest and fetches the image.
func (p *Plans) resolve(ctx context.Context, op *slipway.Operation) error {
	st, err := load(op)
	if err != nil {
		return operation.Fatal(err)
	}
	var spec slipway.Spec
	if err := p.cfg.Store.ViewUnsynced(ctx, func(tx *store.Tx) (err error) { spec, err = p.spec(tx, op); return err }); err != nil {
		return err
	}
	if err := p.logProgress(ctx, op, bothStreams, "Pulling image "+source.ImageIdentifier(spec.Source)+"."); err != nil {
		return err
	}
	a, err := p.cfg.Resolver.Resolve(p.pulling(ctx, spec), spec.Source, func(line string) {
		if err := p.logProgress(ctx, op, operationStream, line); err != nil && ctx.Err() == nil {
			p.cfg.Log.Warn("cannot write progress line", "operation", op.ID, "err", err)
		}
	})
	if err != nil {
		return err
	}
	st.Artifact = &a
	if err := save(op, st); err != nil {
		return operation.Fatal(err)
	}
	return p.logProgress(ctx, op, bothStreams, "Successfully pulled your application image ("+a.Digest+").")
}

// release inserts the new release, which the fleet then starts.
func (p *Plans) release(tx *store.Tx, op *slipway.Operation, now time.Time) error {
	st, err := load(op)
	if err != nil || st.Artifact == nil {
		return operation.Fatal(errors.Join(err, errors.New("the resolved image is missing from the operation's state")))
	}
	v, err := tx.Service(op.ServiceID)
	if err != nil {
		return err
	}
	spec, err := p.spec(tx, op)
	if err != nil {
		return err
	}
	asc, err := tx.AutoScaling(spec.AutoScalingConfigurationARN)
	if err != nil {
		return fmt.Errorf("read auto scaling configuration %s: %w", spec.AutoScalingConfigurationARN, err)
	}
	settings, err := settingsOf(tx, v.Service)
	if err != nil {
		return err
	}
	r, err := resolveRelease(request{spec, settings, *st.Artifact, st.Code, asc.Scaling, p.cfg.Region})
	if err != nil {
		return operation.Fatal(err)
	}
	if r.Networks, err = networks(tx, spec); err != nil {
		return err
	}
	st.Release = cmp.Or(st.Release, slipway.NewID()) // earlier versions drew it here
	r.ID, r.ServiceID, r.Operation = st.Release, op.ServiceID, op.ID
	if err := p.addTracing(tx, op, now, v.Service, spec, &r); err != nil {
		return err
	}
	r.Desired, r.Run, r.Size, r.CreatedAt = slipway.DesiredRun, 1, settings.Routing.FirstSize(asc.Scaling), now
	if st.Previous != "" {
		prev, err := tx.Release(st.Previous)
		if err != nil {
			return fmt.Errorf("read the active release: %w", err)
		}
		r.Size = min(max(r.Size, prev.Size), max(asc.Scaling.MaxSize, asc.Scaling.MinSize))
	}
	if r.Secrets, err = p.takeSecrets(op, &st, r.ID); err != nil {
		return err
	}
	if err := p.prune(tx, v); err != nil {
		return err
	}
	if err := tx.InsertRelease(r); err != nil {
		return err
	}
	if err := p.logEvent(tx, op, now, bothStreams, "Provisioning instances and deploying image for publicly accessible service."); err != nil {
		return err
	}
	if err := p.logEvent(tx, op, now, bothStreams, "Performing health check on "+describeHealthCheck(r)+"."); err != nil {
		return err
	}
	return save(op, st)
}

// settingsOf returns the settings that the service's tags hold.
func settingsOf(tx *store.Tx, v slipway.Service) (slipway.Settings, error) {
	tags, err := tx.Tags(v.ARN)
	if err != nil {
		return slipway.Settings{}, fmt.Errorf("read the tags of service %s: %w", v.ID, err)
	}
	return slipway.ParseSettings("service", tags)
}

// networks returns the subnets of the specification's VPC connector: the only
// networks that its instances reach. nil without a connector.
func networks(tx *store.Tx, spec slipway.Spec) ([]string, error) {
	arn := spec.VPCConnectorARN()
	if arn == "" {
		return nil, nil
	}
	c, err := tx.VPCConnector(arn)
	if err == nil && len(c.Subnets) == 0 {
		err = errors.New("it has no subnets") // an empty list would mean every network
	}
	if err != nil {
		return nil, fmt.Errorf("read VPC connector %s: %w", arn, err)
	}
	return c.Subnets, nil
}

// prune deletes stopped releases that have no live instance. It keeps the active
// release, which is stopped too while the service is paused.
func (p *Plans) prune(tx *store.Tx, v slipway.ServiceView) error {
	list, err := tx.ReleasesOf(v.ID)
	if err != nil {
		return err
	}
	for _, r := range list {
		if r.ID == v.ActiveRelease || r.Desired != slipway.DesiredStop || r.Unlisted {
			continue
		}
		instances, err := tx.InstancesOfRelease(r.ID)
		if err != nil {
			return err
		}
		if countLive(instances) > 0 {
			continue
		}
		for _, i := range instances {
			if err := tx.DeleteInstance(i); err != nil {
				return err
			}
		}
		if err := tx.DeleteRelease(r); err != nil {
			return err
		}
	}
	return nil
}

func countLive(instances []slipway.Instance) int {
	n := 0
	for _, i := range instances {
		if i.State.Live() {
			n++
		}
	}
	return n
}

// healthy waits until the release has its initial number of ready instances. It
// fails at once when the process of an instance ends.
func (p *Plans) healthy(tx *store.Tx, op *slipway.Operation, now time.Time) (bool, string, error) {
	r, err := p.targetRelease(tx, op)
	if err != nil {
		return false, "", err
	}
	instances, err := tx.InstancesOfRelease(r.ID)
	if err != nil {
		return false, "", err
	}
	need := r.Size
	if op.Kind == slipway.ResumeService {
		need = min(r.Scaling.MinSize, r.Size) // the scaler may have raised the size meanwhile
	}
	if exit := firstExit(instances, r); exit != nil {
		return false, "", operation.Fatal(errors.New(exitReason(*exit)))
	}
	ready, problem := 0, problemOf(instances, r)
	for _, i := range instances {
		if i.State == slipway.InstanceReady && i.Run == r.Run {
			ready++
		}
	}
	if ready >= need {
		return true, "", nil
	}
	waiting := fmt.Sprintf("%d of %d instances passed the health check on %s", ready, need, describeHealthCheck(r))
	if problem != "" {
		waiting += "; " + problem
	} else {
		waiting += "; check your configured port number"
	}
	return false, waiting, nil
}

// problemOf returns why an instance of the release's current run is not healthy; "" if
// nothing is known. Instances of earlier runs are those of a release that a resume starts
// again.
func problemOf(instances []slipway.Instance, r slipway.Release) (problem string) {
	for _, i := range instances {
		if i.Run == r.Run && i.State != slipway.InstanceReady && i.Problem != "" {
			problem = i.Problem
		}
	}
	return problem
}

// firstExit returns the exit of an instance of the release's current run that ended by
// itself; nil if there is none.
func firstExit(instances []slipway.Instance, r slipway.Release) *slipway.Exit {
	for _, i := range instances {
		if i.State == slipway.InstanceEnded && i.Run == r.Run && i.Exit != nil {
			return i.Exit
		}
	}
	return nil
}

// targetRelease returns the release that the operation starts: the new one of a
// deployment, the active one of a resume.
func (p *Plans) targetRelease(tx *store.Tx, op *slipway.Operation) (slipway.Release, error) {
	st, err := load(op)
	if err != nil {
		return slipway.Release{}, operation.Fatal(err)
	}
	id := st.Release
	if id == "" {
		v, err := tx.Service(op.ServiceID)
		if err != nil {
			return slipway.Release{}, err
		}
		id = v.ActiveRelease
	}
	r, err := tx.Release(id)
	if errors.Is(err, store.ErrNotFound) {
		return r, operation.Fatal(fmt.Errorf("release %q is gone", id))
	}
	return r, err
}

// route makes the new release active: from this commit on, routers send it every
// new request.
func (p *Plans) route(tx *store.Tx, op *slipway.Operation, now time.Time) error {
	st, err := load(op)
	if err != nil {
		return operation.Fatal(err)
	}
	v, err := tx.Service(op.ServiceID)
	if err != nil {
		return err
	}
	spec, err := p.spec(tx, op)
	if err != nil {
		return err
	}
	if err := p.keep(tx, st, now); err != nil {
		return err
	}
	if st.DrainFor, err = p.drainFor(tx, v.Service); err != nil {
		return err
	}
	st.Spec = &v.Spec
	if err := tx.SetSpec(op.ServiceID, spec, now); err != nil {
		return err
	}
	if err := tx.SetActiveRelease(op.ServiceID, st.Release); err != nil {
		return err
	}
	if st.Previous != "" {
		prev, err := tx.Release(st.Previous)
		if err != nil {
			return err
		}
		if err := tx.SetDesired(prev, slipway.DesiredDrain); err != nil {
			return err
		}
	}
	if err := p.logEvent(tx, op, now, bothStreams, "Health check is successful. Routing traffic to application."); err != nil {
		return err
	}
	return save(op, st)
}

// keep records the release that is to serve, so that its image is kept once another
// one has replaced it. The previous one has no record if an earlier version of Slipway
// deployed it.
func (p *Plans) keep(tx *store.Tx, st state, now time.Time) error {
	for _, id := range []string{st.Previous, st.Release} {
		if id == "" {
			continue
		}
		r, err := tx.Release(id)
		if err != nil {
			return err
		}
		if err := tx.PutPastRelease(r, now, 1+p.cfg.KeepReleases); err != nil {
			return err
		}
	}
	return nil
}

// drainFor returns how long requests in flight have to end that get no successors now.
func (p *Plans) drainFor(tx *store.Tx, v slipway.Service) (time.Duration, error) {
	settings, err := tx.RoutingSettings(v)
	return settings.DrainTime(p.cfg.DrainLimit), err
}

// drained waits until no request is in flight on the previous release, at most as
// long as a request may take.
func (p *Plans) drained(tx *store.Tx, op *slipway.Operation, _ time.Time) (bool, string, error) {
	st, err := load(op)
	if err != nil {
		return false, "", operation.Fatal(err)
	}
	if st.Previous == "" || op.Spent >= cmp.Or(st.DrainFor, p.cfg.DrainLimit) {
		return true, "", nil
	}
	done, err := tx.Drained(st.Previous, p.cfg.RouterSilent)
	return done, "requests are still in flight", err
}

// retire stops the previous release.
func (p *Plans) retire(tx *store.Tx, op *slipway.Operation, now time.Time) error {
	st, err := load(op)
	if err != nil {
		return operation.Fatal(err)
	}
	if err := p.logEvent(tx, op, now, bothStreams, "Successfully routed incoming traffic to application."); err != nil {
		return err
	}
	if st.Previous == "" {
		return nil
	}
	prev, err := tx.Release(st.Previous)
	if err != nil {
		return err
	}
	return tx.SetDesired(prev, slipway.DesiredStop)
}

// restore rolls a deployment back from any step: it makes the previous release,
// which has kept running, the active one again.
func (p *Plans) restore(tx *store.Tx, op *slipway.Operation, now time.Time) error {
	st, err := load(op)
	if err != nil {
		return operation.Fatal(err)
	}
	if len(st.Secrets) > 0 { // read for a release that was never inserted
		st.Secrets, st.SealedFor = nil, ""
		if err := save(op, st); err != nil {
			return operation.Fatal(err)
		}
	}
	if st.Release != "" {
		r, err := tx.Release(st.Release)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err == nil {
			if err := tx.SetDesired(r, slipway.DesiredStop); err != nil {
				return err
			}
		}
	}
	if st.Spec != nil { // route has run
		if err := tx.SetSpec(op.ServiceID, *st.Spec, now); err != nil {
			return err
		}
		if err := tx.SetActiveRelease(op.ServiceID, st.Previous); err != nil {
			return err
		}
	}
	if st.Previous == "" {
		return nil
	}
	prev, err := tx.Release(st.Previous)
	if err != nil {
		return err
	}
	return tx.SetDesired(prev, slipway.DesiredRun)
}

// unroute returns an edit that stops routing requests to the service.
func (p *Plans) unroute(wanted slipway.Wanted) func(*store.Tx, *slipway.Operation, time.Time) error {
	return func(tx *store.Tx, op *slipway.Operation, now time.Time) error {
		v, err := tx.Service(op.ServiceID)
		if err != nil {
			return err
		}
		st := state{Previous: v.ActiveRelease}
		if st.DrainFor, err = p.drainFor(tx, v.Service); err != nil {
			return err
		}
		if err := tx.SetWanted(op.ServiceID, wanted, now); err != nil {
			return err
		}
		if wanted == slipway.WantedDeleted {
			if err := tx.RemoveCustomDomainsOf(op.ServiceID, now); err != nil {
				return err
			}
		}
		if v.ActiveRelease == "" {
			return save(op, st)
		}
		r, err := tx.Release(v.ActiveRelease)
		if err != nil {
			return err
		}
		if r.Desired == slipway.DesiredRun {
			if err := tx.SetDesired(r, slipway.DesiredDrain); err != nil {
				return err
			}
		}
		return save(op, st)
	}
}

// stop stops every release of the service, with what a pause has kept.
func (p *Plans) stop(tx *store.Tx, op *slipway.Operation, _ time.Time) error {
	list, err := tx.ReleasesOf(op.ServiceID)
	if err != nil {
		return err
	}
	for _, r := range list {
		if r.Desired == slipway.DesiredStop {
			continue
		}
		if !r.KeepUntil.IsZero() {
			if err := tx.SetKeepUntil(r.ID, time.Time{}); err != nil {
				return err
			}
		}
		if err := tx.SetDesired(r, slipway.DesiredStop); err != nil {
			return err
		}
	}
	return nil
}

// stopped waits until the fleet has removed every instance, but those that it keeps frozen.
// One that was started just now may have no row before the fleet knows that it is to stop.
func (p *Plans) stopped(tx *store.Tx, op *slipway.Operation, _ time.Time) (bool, string, error) {
	releases, err := tx.ReleasesOf(op.ServiceID)
	if err != nil {
		return false, "", err
	}
	if slices.ContainsFunc(releases, func(r slipway.Release) bool { return r.Unlisted }) {
		return false, "it is not known yet which instances have to stop", nil
	}
	instances, err := tx.InstancesOf(op.ServiceID)
	if err != nil {
		return false, "", err
	}
	n := countLive(instances)
	for _, i := range instances {
		if i.State == slipway.InstanceKept && op.Kind == slipway.PauseService {
			n--
		}
	}
	return n == 0, fmt.Sprintf("%d instances have not stopped", n), nil
}

// start runs the active release again, at its first size. Instances that a pause has kept
// serve again if nothing has changed.
func (p *Plans) start(tx *store.Tx, op *slipway.Operation, now time.Time) error {
	v, err := tx.Service(op.ServiceID)
	if err != nil {
		return err
	}
	if err := tx.SetWanted(op.ServiceID, slipway.WantedRunning, now); err != nil {
		return err
	}
	had, err := tx.Release(v.ActiveRelease)
	if err != nil {
		return fmt.Errorf("read the active release: %w", err)
	}
	if err := p.replaceSecrets(tx, op); err != nil {
		return err
	}
	r, err := tx.Release(v.ActiveRelease)
	if err != nil {
		return fmt.Errorf("read the active release: %w", err)
	}
	if err := p.useKept(tx, op, now, r, had.Secrets); err != nil {
		return err
	}
	settings, err := tx.RoutingSettings(v.Service)
	if err != nil {
		return err
	}
	if err := tx.SetSize(r, settings.FirstSize(r.Scaling)); err != nil {
		return err
	}
	if op.Kind != slipway.ResumeService { // a pause that rolls back: its instances serve on
		return tx.SetDesired(r, slipway.DesiredRun)
	}
	return tx.StartRun(r)
}

// forget deletes the service's releases, instances and custom domains, whose names are
// free from the moment that the service is DELETED. The service's row and history stay:
// like App Runner, the API shows deleted services for some time.
func (p *Plans) forget(tx *store.Tx, op *slipway.Operation, _ time.Time) error {
	instances, err := tx.InstancesOf(op.ServiceID)
	if err != nil {
		return err
	}
	for _, i := range instances {
		if err := tx.DeleteInstance(i); err != nil {
			return err
		}
	}
	list, err := tx.ReleasesOf(op.ServiceID)
	if err != nil {
		return err
	}
	for _, r := range list {
		if err := tx.DeleteRelease(r); err != nil {
			return err
		}
	}
	if err := tx.DeleteCustomDomainsOf(op.ServiceID); err != nil {
		return err
	}
	if err := tx.DeletePastReleases(op.ServiceID); err != nil {
		return err
	}
	return tx.SetActiveRelease(op.ServiceID, "")
}
