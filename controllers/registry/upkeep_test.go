package registry

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/google/go-cmp/cmp"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/registry/wire"
)

func hour(n int) *time.Time {
	t := time.Date(2026, 5, 1, n, 0, 0, 999, time.UTC)
	return &t
}

func TestBackupReady(t *testing.T) {
	server := func(b *wire.BackupStatus) facts { return facts{applied: true, server: &wire.Status{Backup: b}} }
	for _, tt := range []struct {
		name     string
		suspend  bool
		facts    facts
		status   metav1.ConditionStatus
		reason   string
		contains string
	}{
		{"server not asked", false, facts{applied: true}, metav1.ConditionUnknown, v1alpha1.ReasonUnknown, "not looked at yet"},
		{"older server", false, server(nil), metav1.ConditionUnknown, v1alpha1.ReasonBackupPending, "the schedule is 0 3 * * *"},
		{"none yet", false, server(&wire.BackupStatus{LastStarted: hour(1)}), metav1.ConditionUnknown, v1alpha1.ReasonBackupPending, "no backup was made yet"},
		{"succeeded", false, server(&wire.BackupStatus{LastSuccessful: hour(3), LastFailed: hour(2), Name: "b3"}), metav1.ConditionTrue, v1alpha1.ReasonBackupSucceeded, "backup b3 was made at 2026-05-01T03:00:00Z"},
		{"failed", false, server(&wire.BackupStatus{LastSuccessful: hour(3), LastFailed: hour(4), Message: "access denied"}), metav1.ConditionFalse, v1alpha1.ReasonBackupFailed, "the backup of 2026-05-01T04:00:00Z failed, and the last that succeeded is of 2026-05-01T03:00:00Z: access denied"},
		{"first failed", false, server(&wire.BackupStatus{LastFailed: hour(4), Message: "access denied"}), metav1.ConditionFalse, v1alpha1.ReasonBackupFailed, "none has succeeded yet: access denied"},
		{"suspended", true, server(&wire.BackupStatus{LastSuccessful: hour(3)}), metav1.ConditionFalse, v1alpha1.ReasonBackupSuspended, "spec.backup.suspend"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &v1alpha1.Registry{Spec: v1alpha1.RegistrySpec{Backup: &v1alpha1.BackupSpec{Schedule: "0 3 * * *", Suspend: tt.suspend}}}
			c := meta.FindStatusCondition(status(r, tt.facts, nil, time.Now()).Conditions, v1alpha1.BackupReadyCondition)
			if c == nil || c.Status != tt.status || c.Reason != tt.reason || !strings.Contains(c.Message, tt.contains) {
				t.Errorf("BackupReady = %+v, want %s %s (%s)", c, tt.status, tt.reason, tt.contains)
			}
		})
	}
}

func TestUpkeepInStatus(t *testing.T) {
	r := &v1alpha1.Registry{Spec: v1alpha1.RegistrySpec{Backup: &v1alpha1.BackupSpec{Schedule: "0 3 * * *"}}}
	f := facts{applied: true, server: &wire.Status{
		Backup: &wire.BackupStatus{LastSuccessful: hour(3), Name: "b3", Bytes: 70, Blobs: 7},
		Scrub:  &wire.ScrubStatus{LastCompleted: hour(2), Problems: 2, Message: "serde 1.0.0 has another digest"},
	}}
	st := status(r, f, nil, time.Now())
	b := st.Backup
	if b == nil || !b.LastSuccessful.Equal(&metav1.Time{Time: hour(3).Truncate(time.Second)}) || b.LastFailed != nil || b.Name != "b3" || *b.Bytes != 70 || *b.Blobs != 7 {
		t.Errorf("status.backup = %+v", b)
	}
	if st.Scrub == nil || *st.Scrub.Problems != 2 || st.Scrub.LastCompleted.Nanosecond() != 0 {
		t.Errorf("status.scrub = %+v", st.Scrub)
	}
	c := meta.FindStatusCondition(st.Conditions, v1alpha1.CratesIntactCondition)
	if c == nil || c.Reason != v1alpha1.ReasonCratesDamaged || !strings.Contains(c.Message, "2 crate files are damaged or missing; `crateyard check` names them") {
		t.Errorf("CratesIntact = %+v", c)
	}

	back := f
	back.server = &wire.Status{Scrub: f.server.Scrub, Catalog: &wire.Backend{SetBack: "the catalog was set back to an earlier time: run `crateyard check`"}}
	c = meta.FindStatusCondition(status(r, back, nil, time.Now()).Conditions, v1alpha1.CratesIntactCondition)
	if c == nil || c.Reason != v1alpha1.ReasonCatalogSetBack || c.Message != back.server.Catalog.SetBack {
		t.Errorf("CratesIntact = %+v", c)
	}

	r.Status = st
	f.server = nil // one that does not answer takes nothing back
	if again := status(r, f, nil, time.Now()); again.Backup == nil || again.Scrub == nil || meta.FindStatusCondition(again.Conditions, v1alpha1.CratesIntactCondition) == nil {
		t.Errorf("with a server that is away the status forgets: %+v", again)
	}
	r.Spec.Backup = nil
	if again := status(r, f, nil, time.Now()); again.Backup != nil || meta.FindStatusCondition(again.Conditions, v1alpha1.BackupReadyCondition) != nil {
		t.Error("without spec.backup there is a status of backups")
	}
}

func TestReadReasons(t *testing.T) {
	for _, tt := range []struct {
		answer string
		want   map[string]string
	}{
		{"", map[string]string{}},
		{"stopping\n", map[string]string{"": "stopping"}},
		{"catalog: dial tcp: refused\n", map[string]string{"catalog": "dial tcp: refused"}},
		{"catalog: a\nstorage: b\ndisk: c\n", map[string]string{"catalog": "a", "storage": "b", "": "disk: c"}},
		{"clock: this server's clock is 1m0s behind\n", map[string]string{"clock": "this server's clock is 1m0s behind"}},
		{"catalog: a\ncatalog: b", map[string]string{"catalog": "a; b"}},
		{"catalog: host=db user=app password=hunter2 is wrong", map[string]string{"catalog": "host=db user=app password=… is wrong"}},
	} {
		if diff := cmp.Diff(tt.want, readReasons(tt.answer)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.answer, diff)
		}
	}
}

func TestRestoreTrouble(t *testing.T) {
	ended := func(code int32, why string) *corev1.ContainerStateTerminated {
		return &corev1.ContainerStateTerminated{ExitCode: code, Reason: why, Message: "log\ncrateyard: no backup has the name b3\n"}
	}
	waits := &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}
	for _, tt := range []struct {
		name    string
		c       corev1.ContainerStatus
		reason  string
		message string
	}{
		{"runs", corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}, v1alpha1.ReasonRestoring, "kubectl logs --container restore"},
		{"failed", corev1.ContainerStatus{State: corev1.ContainerState{Terminated: ended(1, "Error")}}, v1alpha1.ReasonRestoreFailed, "exit code 1: crateyard: no backup has the name b3"},
		{"failed before", corev1.ContainerStatus{State: corev1.ContainerState{Waiting: waits}, LastTerminationState: corev1.ContainerState{Terminated: ended(1, "Error")}}, v1alpha1.ReasonRestoreFailed, "no backup has the name b3"},
		{"out of memory", corev1.ContainerStatus{State: corev1.ContainerState{Terminated: ended(137, "OOMKilled")}}, v1alpha1.ReasonRestoreFailed, "more memory than spec.resources.limits allow"},
		{"image", corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull"}}}, v1alpha1.ReasonImagePullFailed, "cannot be pulled"},
		{"done", corev1.ContainerStatus{State: corev1.ContainerState{Terminated: ended(0, "Completed")}}, "", ""},
	} {
		tt.c.Name = restoreName
		got := restoreTrouble(tt.c)
		if got.reason != tt.reason || !strings.Contains(join(got.message, got.said), tt.message) {
			t.Errorf("%s: %+v, want %s (%s)", tt.name, got, tt.reason, tt.message)
		}
	}
}
