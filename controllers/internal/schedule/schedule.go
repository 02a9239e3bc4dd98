// Package schedule says when to look at an object again.
package schedule

import (
	"math/rand/v2"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
)

// In gives a result that asks again after about d: up to a tenth sooner or later, so that objects made at one time do not
// stay in step.
func In(d time.Duration) ctrl.Result {
	jitter := time.Duration((rand.Float64() - 0.5) * 0.2 * float64(d)) //nolint:gosec // no secret hangs on it
	return ctrl.Result{RequeueAfter: d + jitter}
}
