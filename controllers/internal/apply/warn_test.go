package apply

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/conditions"
)

// A Registry that has just been made is not warned of because its server starts; one whose server goes on like that is.
func TestWarn(t *testing.T) {
	for _, tt := range []struct {
		reason string
		was    string
		age    time.Duration
		warns  bool
	}{
		{v1alpha1.ReasonNotReady, "", time.Second, false},
		{v1alpha1.ReasonNotReady, v1alpha1.ReasonNotReady, 40 * time.Second, true},
		{v1alpha1.ReasonNotReady, v1alpha1.ReasonNotReady, time.Hour, false},
		{v1alpha1.ReasonNotReady, v1alpha1.ReasonStarting, time.Hour, true},
		{v1alpha1.ReasonRegistryNotFound, "", time.Second, true},
		{v1alpha1.ReasonRegistryNotFound, "", time.Hour, true},
		{v1alpha1.ReasonImagePullFailed, "", time.Second, true},
		{v1alpha1.ReasonImagePullFailed, v1alpha1.ReasonImagePullFailed, 40 * time.Second, false},
		{v1alpha1.ReasonStarting, "", time.Hour, false},
	} {
		said := events.NewFakeRecorder(1)
		r := &v1alpha1.Registry{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(time.Now().Add(-tt.age))}}
		var before []metav1.Condition
		if tt.was != "" {
			before = append(before, conditions.False(v1alpha1.ReadyCondition, tt.was, "no"))
		}
		(&Applier{Events: said}).Warn(r, before, []metav1.Condition{conditions.False(v1alpha1.ReadyCondition, tt.reason, "no")})
		if warned := len(said.Events) > 0; warned != tt.warns {
			t.Errorf("%s after %q, %s old: warned %v", tt.reason, tt.was, tt.age, warned)
		}
	}
}
