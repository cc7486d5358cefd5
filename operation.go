package slipway

import "time"

// Operation is one asynchronous change to a service, from the API call that
// requested it to its end. The API writes Kind, Input and Cancel, the engine the
// rest.
type Operation struct {
	ID        string // 32 hexadecimal digits
	ServiceID string
	Kind      OperationKind
	Input     Input

	Status  OperationStatus
	Step    string       // name of the current step
	State   []byte       // JSON that steps save for later steps
	Cause   string       // why it failed; "" otherwise
	Cancel  Cancellation // zero unless somebody cancelled it
	Attempt int          // tries of the current step so far

	// Spent is how long processes have executed the current step, as far as it was saved.
	Spent time.Duration

	// Damaged says what of its row could not be read, "" for nothing. It is not executed.
	Damaged string

	Owner      string
	Fence      int64
	LeaseUntil time.Time

	CreatedAt, StartedAt, UpdatedAt, EndedAt time.Time
}

// Irrevocable returns why an operation in progress can't be cancelled, "" if it
// can. active is the service's active release; zero if it has none. A deployment
// is irrevocable once its release serves: a rollback would lose the requests that
// the release has in flight.
func (o Operation) Irrevocable(active Release) string {
	switch {
	case o.Kind == DeleteService:
		return "a deletion has no rollback"
	case active.Operation == o.ID:
		return "its new version already serves all new requests; to go back, update the service"
	}
	return ""
}

// Input is what an operation is to bring about.
type Input struct {
	// Spec is the specification to deploy: the service's next one for a creation
	// or an update, nil for other kinds.
	Spec *Spec
}

// Cancellation is the request to cancel an operation.
type Cancellation struct {
	By string // ARN of the user who asked
	At time.Time
}

// Requested reports whether somebody has asked.
func (c Cancellation) Requested() bool { return c.By != "" }

// String says so for people, as the cause of an operation's end.
func (c Cancellation) String() string {
	return "cancelled by " + c.By + " at " + c.At.UTC().Format(time.RFC3339)
}

// OperationKind is App Runner's operation type.
type OperationKind string

const (
	CreateService   OperationKind = "CREATE_SERVICE"
	UpdateService   OperationKind = "UPDATE_SERVICE"
	StartDeployment OperationKind = "START_DEPLOYMENT"
	PauseService    OperationKind = "PAUSE_SERVICE"
	ResumeService   OperationKind = "RESUME_SERVICE"
	DeleteService   OperationKind = "DELETE_SERVICE"
)

// OperationStatus is App Runner's operation status.
type OperationStatus string

const (
	OperationPending            OperationStatus = "PENDING"
	OperationInProgress         OperationStatus = "IN_PROGRESS"
	OperationSucceeded          OperationStatus = "SUCCEEDED"
	OperationFailed             OperationStatus = "FAILED"
	OperationRollbackInProgress OperationStatus = "ROLLBACK_IN_PROGRESS"
	OperationRollbackSucceeded  OperationStatus = "ROLLBACK_SUCCEEDED"
	OperationRollbackFailed     OperationStatus = "ROLLBACK_FAILED"
)

// Live reports whether an operation of this status still has steps to take.
func (s OperationStatus) Live() bool {
	return s == OperationPending || s == OperationInProgress || s == OperationRollbackInProgress
}

// Event is a line of a service's log, for people.
type Event struct {
	ID        int64
	ServiceID string
	Operation string // id, or "" when no operation caused it
	Stream    string // "events", or the log of an operation such as "deployment/<operation id>"
	At        time.Time
	Text      string // without the "[AppRunner] " prefix
}

// Tag is a key and a value on a resource.
type Tag struct{ Key, Value string }
