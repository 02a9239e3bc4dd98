package apply

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/conditions"
)

// A Registry that has just been made, or whose server just went to start anew, is not warned of because its server starts; one whose server goes on like
// that is.
func TestWarn(t *testing.T) {
	for _, tt := range []struct {
		reason string
		was    string
		age    time.Duration
		since  time.Duration // that Ready is false; 0: nobody knows
		warns  bool
	}{
		{v1alpha1.ReasonNotReady, "", time.Second, 0, false},
		{v1alpha1.ReasonNotReady, v1alpha1.ReasonNotReady, 40 * time.Second, 0, true},
		{v1alpha1.ReasonNotReady, v1alpha1.ReasonNotReady, time.Hour, 0, false},
		{v1alpha1.ReasonNotReady, v1alpha1.ReasonStarting, time.Hour, 0, true},
		{v1alpha1.ReasonNotReady, v1alpha1.ReasonStarting, time.Hour, 2 * time.Second, false},
		{v1alpha1.ReasonNotReady, v1alpha1.ReasonNotReady, time.Hour, 40 * time.Second, true},
		{v1alpha1.ReasonNotReady, v1alpha1.ReasonNotReady, time.Hour, 30 * time.Minute, false},
		{v1alpha1.ReasonImagePullFailed, v1alpha1.ReasonStarting, time.Hour, 2 * time.Second, true},
		{v1alpha1.ReasonRegistryNotFound, "", time.Second, 0, true},
		{v1alpha1.ReasonRegistryNotFound, "", time.Hour, 0, true},
		{v1alpha1.ReasonImagePullFailed, "", time.Second, 0, true},
		{v1alpha1.ReasonImagePullFailed, v1alpha1.ReasonImagePullFailed, 40 * time.Second, 0, false},
		{v1alpha1.ReasonStarting, "", time.Hour, 0, false},
		{v1alpha1.ReasonRestoring, "", time.Second, 0, false},
		{v1alpha1.ReasonRestoreFailed, v1alpha1.ReasonRestoring, time.Hour, 0, true},
	} {
		said := events.NewFakeRecorder(1)
		r := &v1alpha1.Registry{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(time.Now().Add(-tt.age))}}
		var before []metav1.Condition
		if tt.was != "" {
			before = append(before, conditions.False(v1alpha1.ReadyCondition, tt.was, "no"))
		}
		after := conditions.False(v1alpha1.ReadyCondition, tt.reason, "no")
		if tt.since > 0 {
			after.LastTransitionTime = metav1.NewTime(time.Now().Add(-tt.since))
		}
		(&Applier{Events: said}).Warn(r, before, []metav1.Condition{after})
		if warned := len(said.Events) > 0; warned != tt.warns {
			t.Errorf("%s after %q, %s old, false for %s: warned %v", tt.reason, tt.was, tt.age, tt.since, warned)
		}
	}
}
