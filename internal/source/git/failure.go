package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/outbound"
	"github.com/openslipway/slipway/internal/room"
)

// Kind says what went wrong, for callers that act on it.
type Kind string

// Kinds of failures.
const (
	Refused     Kind = "refused"     // the server wants another credential, or one at all
	NotFound    Kind = "not found"   // there is no such repository, or the credential does not see it
	NoRef       Kind = "no ref"      // the repository has no such branch, tag or commit
	Unreachable Kind = "unreachable" // the host could not be reached, or its answer made no sense
	Untrusted   Kind = "untrusted"   // the server could not prove who it is
	Forbidden   Kind = "forbidden"   // the policy of outgoing connections refuses the host
	TimedOut    Kind = "timed out"
	TooLarge    Kind = "too large"   // a limit was met
	Unsupported Kind = "unsupported" // something in the repository cannot be fetched
	Invalid     Kind = "invalid"     // the repository is damaged, or made to do damage
	Moved       Kind = "moved"       // the server redirects to another place
	unknown     Kind = "unknown"
)

// Error is a failure that the user, the server's operator or time can mend. It is a
// *slipway.Error to errors.As. Its message holds no credential.
type Error struct {
	Kind    Kind
	Message string
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the error as the caller of the API sees it.
func (e *Error) Unwrap() error {
	return &slipway.Error{Code: slipway.InvalidRequest, Message: e.Message}
}

// Temporary reports whether the same call may succeed later although nobody
// changes anything.
func (e *Error) Temporary() bool { return e.Kind == Unreachable || e.Kind == TimedOut }

func fail(kind Kind, format string, args ...any) error {
	return &Error{kind, fmt.Sprintf(format, args...)}
}

// sign is a text by which git, curl, ssh or a server tells of a failure.
type sign struct {
	text string
	kind Kind
}

// signs in the order in which they decide: what says more comes first.
var signs = []sign{
	{"REMOTE HOST IDENTIFICATION HAS CHANGED", Untrusted},
	{"Host key verification failed", Untrusted},
	{"host key is known for", Untrusted},
	{"certificate problem", Untrusted},
	{"certificate verification failed", Untrusted},
	{"Permission denied (", Refused},
	{"Too many authentication failures", Refused},
	{"Authentication failed for", Refused},
	{"terminal prompts disabled", Refused},
	{"HTTP Basic: Access denied", Refused},
	{"returned error: 401", Refused},
	{"returned error: 403", Refused},
	{"Repository not found", NotFound},
	{"returned error: 404", NotFound},
	{"does not appear to be a git repository", NotFound},
	{"could not be found or you don't have permission", NotFound},
	{"returned error: 301", Moved},
	{"returned error: 302", Moved},
	{"returned error: 307", Moved},
	{"returned error: 308", Moved},
	{"couldn't find remote ref", NoRef},
	{"not our ref", NoRef},
	{"unadvertised object", NoRef},
	{"no such remote ref", NoRef},
	{"does not support shallow", Unsupported},
	{"mismatched algorithms", Unsupported},
	{"transport '", Unsupported}, // transport 'x' not allowed
	{"Out of memory", TooLarge},
	{"out of memory", TooLarge},
	{"mmap failed", TooLarge},
	{"File too large", TooLarge},
	{"No space left", TooLarge},
	{"File name too long", Invalid},
	{"fsck error", Invalid},
	{"invalid path", Invalid},
	{"index-pack failed", Invalid},
	{"Operation too slow", TimedOut},
	{"timed out", TimedOut},
	{"Could not resolve", Unreachable},
	{"Couldn't connect", Unreachable},
	{"Failed to connect", Unreachable},
	{"Connection refused", Unreachable},
	{"Connection reset", Unreachable},
	{"Connection closed", Unreachable},
	{"kex_exchange_identification", Unreachable},
	{"unable to access", Unreachable},
	{"not valid: is this a git repository?", NotFound},
	{"Could not read from remote repository", Unreachable},
	{"remote end hung up", Unreachable},
	{"early EOF", Unreachable},
}

// notFound is git's own sentence: fatal: repository 'URL' not found.
func notFound(line []byte) bool {
	return bytes.HasPrefix(line, []byte("fatal: repository '")) && bytes.HasSuffix(line, []byte("' not found"))
}

// classify reads what git wrote to its standard error: what kind of failure it was,
// and the line that tells it best, clean for a message.
func classify(stderr []byte) (Kind, string) {
	lines := bytes.FieldsFunc(stderr, func(r rune) bool { return r == '\n' || r == '\r' })
	for _, line := range lines {
		if notFound(bytes.TrimSpace(line)) {
			return NotFound, clean(line)
		}
	}
	for _, s := range signs {
		for _, line := range lines {
			if bytes.Contains(line, []byte(s.text)) {
				return s.kind, clean(line)
			}
		}
	}
	for _, line := range lines {
		if bytes.HasPrefix(line, []byte("fatal: ")) || bytes.HasPrefix(line, []byte("error: ")) {
			return unknown, clean(line)
		}
	}
	return unknown, ""
}

// maxShown bounds a line of a server in a message, in bytes.
const maxShown = 300

// clean makes a line of output fit for a message.
func clean(line []byte) string {
	text := strings.ToValidUTF8(string(line[:min(len(line), maxShown)]), "")
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	for _, prefix := range []string{"fatal: ", "error: ", "remote: ", "ERROR: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return strings.TrimSpace(text)
}

// redact takes secrets out of a text.
func redact(text string, secrets []string) string {
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, "***")
	}
	return text
}

// sentences say a kind of failure; %s is the repository.
var sentences = map[Kind]string{
	Refused:     "The server refused access to %s. Check the connection's credential, and that it may read this repository.",
	NotFound:    "The repository %s was not found. Check its URL; for a private repository, check that the connection's credential may read it.",
	NoRef:       "%s does not have what was asked for.",
	Unreachable: "%s could not be reached.",
	Untrusted:   "The server of %s could not prove its identity. For ssh, add its host key to the known hosts; for https, have the server's certificate authority trusted.",
	TimedOut:    "The server of %s did not answer in time.",
	TooLarge:    "%s is larger than the limits of this server allow.",
	Unsupported: "%s cannot be fetched from its server.",
	Invalid:     "%s was refused because its content is damaged or unsafe.",
	Moved:       "The repository %s has moved. Use its new URL.",
	unknown:     "git failed to read %s.",
}

// failed makes the error of a run of git that ended with err.
func (s *session) failed(ctx context.Context, err error, stderr []byte) error {
	if cause := context.Cause(ctx); cause != nil {
		if errors.Is(cause, errDeadline) {
			return fail(TimedOut, "%s was not read within %v. Try again, or deploy from a smaller repository.", s.shown(), s.git.cfg.Timeout)
		}
		return cause
	}
	if relayed := s.relay.failure(); relayed != nil {
		return s.relayFailed(relayed)
	}
	kind, line := classify(stderr)
	if kind == Untrusted && s.url.Scheme == "ssh" {
		return s.untrusted(ctx, bytes.Contains(stderr, []byte("HOST IDENTIFICATION HAS CHANGED")) || bytes.Contains(stderr, []byte("has changed and you have requested strict checking")))
	}
	text := fmt.Sprintf(sentences[kind], s.shown())
	if line = redact(line, s.remote.Credential.secrets()); line != "" {
		text += " git says: " + line
	}
	if kind == unknown && line == "" {
		return fmt.Errorf("git on %s: %w", s.shown(), err)
	}
	return &Error{kind, text}
}

// relayFailed says why the relay could not connect.
func (s *session) relayFailed(err error) error {
	if _, full := errors.AsType[*room.Error](err); full {
		return noRoom(err)
	}
	forbidden, isForbidden := errors.AsType[*outbound.ForbiddenError](err)
	switch {
	case errors.Is(err, errTooMuch):
		return fail(TooLarge, "The server of %s sent more than %d MiB, the limit of a download.", s.shown(), s.git.cfg.MaxDownload>>20)
	case isForbidden:
		return fail(Forbidden, "The repository %s is not read: %v.", s.shown(), forbidden)
	case timedOut(err):
		return fail(TimedOut, "The host of %s did not answer in time.", s.shown())
	}
	return fail(Unreachable, "The host of %s could not be reached: %s.", s.shown(), outbound.Reason(err))
}

// noRoom says that a commit does not fit beside the reserve of the disk. It is a failure
// of the server, not of the repository.
func noRoom(err error) error {
	return fmt.Errorf("a repository is not read while the server's disk is full; free some of it: %w", err)
}
