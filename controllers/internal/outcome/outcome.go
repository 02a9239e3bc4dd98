// Package outcome names how a step of a reconciler can end: nil, *Stalled, *Wait, or any other error, which means that trying
// again may help. One switch in each reconciler turns them into conditions and a ctrl.Result.
package outcome

import (
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/crateyard/crateyard/api/v1alpha1"
)

// Stalled ends a reconcile that only a change by somebody can bring further. It is tried again when something it depends on
// changes, and rarely otherwise.
type Stalled struct {
	Reason  string
	Message string // says what to do
}

// Error gives the message.
func (s *Stalled) Error() string { return s.Message }

// Stall makes a *Stalled.
func Stall(reason, format string, args ...any) error {
	return &Stalled{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Wait ends a reconcile that has to wait for something. After is when to look again at the latest; zero leaves it to a watch.
type Wait struct {
	Reason  string
	Message string
	After   time.Duration
}

// Error gives the message.
func (w *Wait) Error() string { return w.Message }

// WaitFor makes a *Wait.
func WaitFor(after time.Duration, reason, format string, args ...any) error {
	return &Wait{Reason: reason, Message: fmt.Sprintf(format, args...), After: after}
}

// FromAPI tells an error of the API server that trying again cannot mend (the object is invalid) from one that somebody may mend without
// our hearing of it (a quota, a policy, a right), one that a fresh look mends at once (it changed meanwhile) and from all others.
func FromAPI(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	what := fmt.Sprintf(format, args...)
	if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
		return Stall(v1alpha1.ReasonRefused, "%s: the API server refuses it: %v", what, err)
	}
	if apierrors.IsForbidden(err) {
		return forbidden(err, what)
	}
	if apierrors.IsConflict(err) {
		return WaitFor(time.Second, v1alpha1.ReasonProgressing, "%s: it changed meanwhile", what)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// IsStalled finds a *Stalled in err.
func IsStalled(err error) (*Stalled, bool) { return errors.AsType[*Stalled](err) }

// IsWait finds a *Wait in err.
func IsWait(err error) (*Wait, bool) { return errors.AsType[*Wait](err) }
