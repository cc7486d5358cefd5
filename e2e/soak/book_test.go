package soak

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
)

// action is something that a client does to a service.
type action string

const (
	create       action = "create"
	update       action = "update"        // sets a new greeting
	updateCPU    action = "update cpu"    // and memory
	updateHealth action = "update health" // sets another interval of the health check
	updateScale  action = "update scale"  // sets another revision of the auto scaling configuration
	updateBad    action = "update bad"    // to a configuration with which the application exits
	deploy       action = "deploy"
	pause        action = "pause"
	resume       action = "resume"
	remove       action = "delete"

	tag   action = "tag"
	untag action = "untag"
	push  action = "push" // another image with the tag of the service's
	put   action = "put"  // another value of the secret
)

// kindOf returns the type of the operation that an action begins.
func (a action) kindOf() types.OperationType {
	switch a {
	case create:
		return types.OperationTypeCreateService
	case update, updateCPU, updateHealth, updateScale, updateBad:
		return types.OperationTypeUpdateService
	case deploy:
		return types.OperationTypeStartDeployment
	case pause:
		return types.OperationTypePauseService
	case resume:
		return types.OperationTypeResumeService
	case remove:
		return types.OperationTypeDeleteService
	}
	return ""
}

// edition is what a release of a service answers with.
type edition struct {
	greeting int // revision of the environment
	image    int // revision of the image
	secret   int // revision of the secret's value
}

func (e edition) String() string {
	return fmt.Sprintf("greeting %d, image %d, secret %d", e.greeting, e.image, e.secret)
}

// book is what a service must be like after what was done to it.
type book struct {
	status types.ServiceStatus // at rest; "" while there is none
	serves edition             // the active release
	kept   edition             // of the source: the image that the tag names, the secret's value
	mark   int                 // value of the tag, 0 without one
}

// expects returns the exception with which an action at rest is answered, "" for success, and
// whether it begins an operation.
func (b book) expects(a action) (code string, begins bool) {
	const state, invalid = "InvalidStateException", "InvalidRequestException"
	switch a {
	case create:
		if b.status != "" {
			return invalid, false
		}
	case push, put, tag, untag:
		return "", false
	case pause:
		return "", b.status != types.ServiceStatusPaused
	case resume:
		return "", b.status != types.ServiceStatusRunning
	case update, updateCPU, updateHealth, updateScale, updateBad:
		if b.status == types.ServiceStatusPaused {
			return state, false
		}
	case deploy:
		if b.status == types.ServiceStatusPaused {
			return invalid, false // StartDeployment has no InvalidStateException
		}
	}
	return "", true
}

// next returns the edition that an action takes into service, for a new greeting.
func (b book) next(a action, greeting int) edition {
	e := b.serves
	switch a {
	case create, update:
		return edition{greeting, b.kept.image, b.kept.secret}
	case updateCPU, updateHealth, updateScale, deploy:
		e.image, e.secret = b.kept.image, b.kept.secret
	case resume:
		e.secret = b.kept.secret
	}
	return e
}

// ends returns how the operation of an action ends if nobody disturbs it.
func (a action) ends() types.OperationStatus {
	if a == updateBad {
		return types.OperationStatusRollbackSucceeded
	}
	return types.OperationStatusSucceeded
}

// fails returns how it ends if its instances are killed.
func (a action) fails() types.OperationStatus {
	switch a {
	case update, updateCPU, updateHealth, updateScale, updateBad, deploy:
		return types.OperationStatusRollbackSucceeded
	}
	return types.OperationStatusFailed
}

// after returns the book after an action whose operation has ended.
func (b book) after(a action, greeting int, ended types.OperationStatus) book {
	if ended != types.OperationStatusSucceeded {
		if a == create {
			b.status = types.ServiceStatusCreateFailed
		}
		return b
	}
	b.serves = b.next(a, greeting)
	switch a {
	case create, resume:
		b.status = types.ServiceStatusRunning
	case pause:
		b.status = types.ServiceStatusPaused
	case remove:
		return book{kept: b.kept}
	}
	return b
}

// choices are the actions of a running service, the more frequent more often.
var choices = []action{
	update, update, update, update, updateCPU, updateHealth, updateScale, updateBad, deploy, deploy,
	push, push, pause, pause, pause, tag, tag, untag, put, remove, resume,
}

// choose picks an action for a service.
func (b book) choose(random *rand.Rand, k kind) action {
	switch b.status {
	case "":
		return create
	case types.ServiceStatusCreateFailed:
		return remove
	}
	a := choices[random.IntN(len(choices))]
	if b.status == types.ServiceStatusPaused {
		a = []action{resume, resume, resume, resume, update, deploy, pause, tag, put, remove}[random.IntN(10)]
	}
	if a == put && !k.secret || a == updateScale && k.scaling == (scaling{}) {
		return update
	}
	return a
}

// phase is what a service may answer with from a time on.
type phase struct {
	what    string
	serves  []edition
	paused  bool // 503 service_paused
	without bool // 503 service_not_deployed
	gone    bool // 404 unknown_service
}

// rest returns the phase of a service at rest.
func (b book) rest() phase {
	p := phase{what: string(b.status)}
	switch b.status {
	case types.ServiceStatusRunning:
		p.serves = []edition{b.serves}
	case types.ServiceStatusPaused:
		p.paused = true
	case types.ServiceStatusCreateFailed:
		p.without = true
	default:
		p.what, p.gone = "deleted", true
	}
	return p
}

// during returns the phase while an action is under way.
func (b book) during(a action, greeting int) phase {
	p := b.rest()
	p.what = string(a)
	switch a {
	case create:
		p.without, p.serves = true, []edition{b.next(a, greeting)}
	case update, updateCPU, updateHealth, updateScale, deploy:
		p.serves = append(p.serves, b.next(a, greeting))
	case pause:
		p.paused = true
	case resume:
		p.serves = append(p.serves, b.next(a, greeting))
	case remove:
		p.gone = true
	}
	return p
}

// with returns the phase in which either may be answered.
func (p phase) with(q phase) phase {
	return phase{
		what: p.what + ", " + q.what, serves: slices.Concat(p.serves, q.serves),
		paused: p.paused || q.paused, without: p.without || q.without, gone: p.gone || q.gone,
	}
}

// TestBook checks the book with short stories.
func TestBook(t *testing.T) {
	t.Parallel()
	const ok, back = types.OperationStatusSucceeded, types.OperationStatusRollbackSucceeded
	type step struct {
		do    action
		ended types.OperationStatus
	}
	first := edition{1, 1, 1}
	for _, c := range []struct {
		name  string
		steps []step
		want  book
	}{
		{"a creation", []step{{create, ok}}, book{status: types.ServiceStatusRunning, serves: first}},
		{"a failed creation", []step{{create, types.OperationStatusFailed}}, book{status: types.ServiceStatusCreateFailed}},
		{"an update", []step{{create, ok}, {update, ok}}, book{status: types.ServiceStatusRunning, serves: edition{2, 1, 1}}},
		{"a bad update", []step{{create, ok}, {updateBad, back}}, book{status: types.ServiceStatusRunning, serves: first}},
		{"a pause", []step{{create, ok}, {pause, ok}}, book{status: types.ServiceStatusPaused, serves: first}},
		{"a resume", []step{{create, ok}, {pause, ok}, {resume, ok}}, book{status: types.ServiceStatusRunning, serves: first}},
		{"a deletion", []step{{create, ok}, {remove, ok}}, book{}},
	} {
		b := book{kept: edition{0, 1, 1}}
		for i, s := range c.steps {
			b = b.after(s.do, i+1, s.ended)
		}
		if c.want.kept = b.kept; b != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, b, c.want)
		}
	}

	b := book{status: types.ServiceStatusPaused, serves: first, kept: edition{0, 2, 2}}
	if code, begins := b.expects(update); code != "InvalidStateException" || begins {
		t.Errorf("an update of a paused service: %q, %t", code, begins)
	}
	if got := b.next(resume, 2); got != (edition{1, 1, 2}) { // it resolves no tag, and reads secrets
		t.Errorf("a resume serves %v", got)
	}
	b.status = types.ServiceStatusRunning
	if got := b.next(deploy, 2); got != (edition{1, 2, 2}) {
		t.Errorf("a deployment serves %v", got)
	}
	if got := b.during(updateBad, 2).serves; !slices.Equal(got, []edition{first}) {
		t.Errorf("a bad update may serve %v", got)
	}
}
