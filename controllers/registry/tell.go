package registry

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crateyard/crateyard/api/v1alpha1"
)

// told are the conditions that Ready does not wait for, and whose troubles somebody has to see to all the same.
var told = []string{v1alpha1.BackupReadyCondition, v1alpha1.CratesIntactCondition, v1alpha1.ClocksAgreeCondition, v1alpha1.MonitoringReadyCondition}

// tell records as events which of them came to be false, or true again, and each backup that failed.
func (s *scope) tell(before *v1alpha1.Registry) {
	for _, typ := range told {
		was, now := meta.FindStatusCondition(before.Status.Conditions, typ), meta.FindStatusCondition(s.registry.Status.Conditions, typ)
		switch {
		case now == nil:
		case isTrouble(now) && (!isTrouble(was) || was.Reason != now.Reason || now.Reason == v1alpha1.ReasonBackupFailed && failedAnew(before, s.registry)):
			s.apply.Alert(s.registry, now.Reason, "%s", now.Message)
		case isTrouble(was) && now.Status == metav1.ConditionTrue:
			s.apply.Say(s.registry, now.Reason, "%s", now.Message)
		}
	}
}

// isTrouble reports whether a condition is false, and not because the spec says so.
func isTrouble(c *metav1.Condition) bool {
	return c != nil && c.Status == metav1.ConditionFalse && !slices.Contains([]string{v1alpha1.ReasonBackupSuspended, v1alpha1.ReasonStopped}, c.Reason)
}

// failedAnew reports whether another backup failed since.
func failedAnew(before, after *v1alpha1.Registry) bool {
	was, now := before.Status.Backup, after.Status.Backup
	return now != nil && now.LastFailed != nil && (was == nil || !now.LastFailed.Equal(was.LastFailed))
}
