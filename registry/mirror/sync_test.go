package mirror

import (
	"fmt"
	"testing"
)

// What a lockfile names and is missing is listed, however much else is.
func TestFailuresOfLockfilesComeFirst(t *testing.T) {
	s := &syncing{m: idle(t, "m").Mirror("m")}
	for i := range 2 * maxProblems {
		s.fail(fmt.Sprint("list", i), "^1", "crates", "no")
	}
	s.fail("needed", "1.0.0", "lockfile app", "no")
	listed := false
	for _, f := range s.state.Failures {
		listed = listed || f.Crate == "needed"
	}
	if len(s.state.Failures) != maxProblems || s.state.Failed != 2*maxProblems+1 || !listed {
		t.Errorf("%d of %d failures are listed: %+v", len(s.state.Failures), s.state.Failed, s.state.Failures)
	}
}
