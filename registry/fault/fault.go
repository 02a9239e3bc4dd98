// Package fault is the error that the server's layers share: what went wrong as a kind, what the client may read, and what
// only the log may read. Handlers map a kind to an HTTP status in one table (see registry/httpapi), so that the layers below
// know nothing of HTTP and a secret or an internal path cannot slip into a reply.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind says what went wrong, from the client's point of view.
type Kind int

// The kinds. An error that is no *Error counts as Internal.
const (
	Internal        Kind = iota // our fault; the client reads nothing but a request id
	Invalid                     // the request breaks a rule; the detail names the rule
	Unauthenticated             // no token, or one that is unknown, expired or revoked
	Forbidden                   // a known principal who may not do this
	NotFound                    // the thing named does not exist
	Conflict                    // the thing exists already, or changed meanwhile
	TooLarge                    // a limit on size was passed
	Unavailable                 // not now: shutting down, catalog or storage away
	TimedOut                    // the client sent its request too slowly
	TooMany                     // too often; Wait says for how long not again
)

// Error carries the two texts: Detail for the client, Err for the log.
type Error struct {
	Kind   Kind
	Detail string        // shown to the client; says what to do where that can be known
	Err    error         // shown in the log only; may be nil
	Wait   time.Duration // of TooMany; of Unavailable where it is known; 0: it is not
}

// Error joins both texts; it is meant for logs and tests, never for a reply.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Detail
	}
	return e.Detail + ": " + e.Err.Error()
}

// Unwrap gives the cause that only the log may see.
func (e *Error) Unwrap() error { return e.Err }

// New makes an error of one kind with a text for the client.
func New(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Detail: fmt.Sprintf(format, args...)}
}

// Wrap makes an error of one kind that keeps its cause for the log.
func Wrap(kind Kind, err error, format string, args ...any) *Error {
	return &Error{Kind: kind, Detail: fmt.Sprintf(format, args...), Err: err}
}

// KindOf gives the kind of the first *Error in err's chain, and Internal when there is none.
func KindOf(err error) Kind {
	if fe, ok := errors.AsType[*Error](err); ok {
		return fe.Kind
	}
	return Internal
}
