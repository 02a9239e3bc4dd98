package registry

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/apply"
	"github.com/crateyard/crateyard/controllers/internal/conditions"
)

// What Ready does not wait for is told by an event as well: when it comes to be wrong, each time that a backup fails, and when it is right again.
func TestTell(t *testing.T) {
	failed := func(at int) *v1alpha1.BackupStatus { return &v1alpha1.BackupStatus{LastFailed: moment(hour(at))} }
	const backups, crates = v1alpha1.BackupReadyCondition, v1alpha1.CratesIntactCondition
	wrong := conditions.False(backups, v1alpha1.ReasonBackupFailed, "access denied")
	right := conditions.True(backups, v1alpha1.ReasonBackupSucceeded, "backup b was made")
	for _, tt := range []struct {
		name        string
		was, now    []metav1.Condition
		before, are *v1alpha1.BackupStatus
		said        string // begins so; empty: nothing is said
	}{
		{"first failure", nil, []metav1.Condition{wrong}, nil, failed(3), "Warning BackupFailed access denied"},
		{"after a success", []metav1.Condition{right}, []metav1.Condition{wrong}, nil, failed(3), "Warning BackupFailed access denied"},
		{"the same failure", []metav1.Condition{wrong}, []metav1.Condition{wrong}, failed(3), failed(3), ""},
		{"another failure", []metav1.Condition{wrong}, []metav1.Condition{wrong}, failed(3), failed(4), "Warning BackupFailed access denied"},
		{"well again", []metav1.Condition{wrong}, []metav1.Condition{right}, failed(3), failed(3), "Normal BackupSucceeded backup b was made"},
		{"well", []metav1.Condition{right}, []metav1.Condition{right}, nil, nil, ""},
		{"suspended", []metav1.Condition{right}, []metav1.Condition{conditions.False(backups, v1alpha1.ReasonBackupSuspended, "no")}, nil, nil, ""},
		{"another trouble", []metav1.Condition{wrong}, []metav1.Condition{conditions.False(backups, v1alpha1.ReasonSecretMissing, "there is no Secret s3")}, failed(3), failed(3), "Warning SecretMissing there is no Secret s3"},
		{"damage", []metav1.Condition{conditions.True(crates, v1alpha1.ReasonCratesIntact, "all")}, []metav1.Condition{conditions.False(crates, v1alpha1.ReasonCratesDamaged, "2 crate files")}, nil, nil, "Warning Damaged 2 crate files"},
		{"gone from the spec", []metav1.Condition{wrong}, nil, failed(3), nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			said := events.NewFakeRecorder(2)
			r := func(c []metav1.Condition, b *v1alpha1.BackupStatus) *v1alpha1.Registry {
				return &v1alpha1.Registry{Status: v1alpha1.RegistryStatus{Conditions: c, Backup: b}}
			}
			s := &scope{registry: r(tt.now, tt.are), apply: &apply.Applier{Events: said}}
			s.tell(r(tt.was, tt.before))
			close(said.Events)
			var got []string
			for e := range said.Events {
				got = append(got, e)
			}
			if text := strings.Join(got, "\n"); (tt.said == "") != (text == "") || !strings.HasPrefix(text, tt.said) || len(got) > 1 {
				t.Errorf("it is said %q, want %q", text, tt.said)
			}
		})
	}
}
