package cratemirror

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crateyard/crateyard/api/v1alpha1"
)

// A mirror is looked at when its next sync has begun, and no more often because one is late.
func TestAfterNextSync(t *testing.T) {
	r := &Reconciler{Now: func() time.Time { return t0 }}
	for _, tt := range []struct {
		next        time.Duration
		least, most time.Duration
	}{
		{10 * time.Minute, 50 * time.Second, 70 * time.Second},
		{20 * time.Second, 25 * time.Second, 25 * time.Second},
		{-3 * time.Second, 2 * time.Second, 2 * time.Second},
		{-4500 * time.Millisecond, time.Second, time.Second},
		{-5 * time.Second, 50 * time.Second, 70 * time.Second},
		{-time.Hour, 50 * time.Second, 70 * time.Second},
	} {
		at := metav1.NewTime(t0.Add(tt.next))
		m := &v1alpha1.CrateMirror{Status: v1alpha1.CrateMirrorStatus{Sync: v1alpha1.MirrorSyncStatus{NextAt: &at}}}
		got, err := r.after(&scope{Reconciler: r, mirror: m, facts: facts{live: cached(nil)}}, nil)
		if err != nil || got.RequeueAfter < tt.least || got.RequeueAfter > tt.most {
			t.Errorf("next in %s: again after %s, %v; want %s to %s", tt.next, got.RequeueAfter, err, tt.least, tt.most)
		}
	}
}
