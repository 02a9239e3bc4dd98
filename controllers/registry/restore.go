package registry

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
)

// A registry is restored by an init container, in one pod whatever spec.replicas says, so that nobody else writes meanwhile. When
// the server behind it is ready, that is noted in the status, and the next reconcile makes the pods as they stay: without it, and
// without the backup's credentials.

// restoreName is the init container.
const restoreName = "restore"

// restoring reports whether a Registry is still to be filled from a backup.
func restoring(r *v1alpha1.Registry) bool {
	return r.Spec.RestoreFrom != nil && r.Status.RestoredAt == nil
}

// podCount is how many pods a Registry has for now.
func podCount(r *v1alpha1.Registry) int32 {
	if restoring(r) {
		return min(1, replicas(r))
	}
	return replicas(r)
}

// restoreContainer fills the registry. It does nothing to one that is not empty, so it does no harm a second time.
func (p Params) restoreContainer() *corev1ac.ContainerApplyConfiguration {
	return p.baseContainer(restoreName, "restore", "--config", configDir+"/"+configKey, "--if-empty")
}

// finishRestore notes that the registry was restored.
func (s *scope) finishRestore(context.Context) error {
	if !restoring(s.registry) || !restored(s.facts.deployment) {
		return nil
	}
	s.facts.restored = true
	s.apply.Say(s.registry, "Restored", "Restored from spec.restoreFrom")
	return outcome.WaitFor(time.Second, v1alpha1.ReasonRestoring, "the registry is restored; its pods start anew, as they will stay")
}

// restored reports whether a Deployment with the init container has come so far that its server is ready.
func restored(d *appsv1.Deployment) bool {
	if d == nil || d.Status.ReadyReplicas == 0 || !rolledOut(d, 1) {
		return false
	}
	for _, c := range d.Spec.Template.Spec.InitContainers {
		if c.Name == restoreName {
			return true
		}
	}
	return false
}

// restoreTrouble says how far the init container is. It is a trouble even when it goes well: nothing is served meanwhile.
func restoreTrouble(c corev1.ContainerStatus) finding {
	if c.Name != restoreName {
		return finding{}
	}
	ended := c.State.Terminated
	if ended == nil && c.State.Waiting != nil && c.State.Waiting.Reason == "CrashLoopBackOff" {
		ended = c.LastTerminationState.Terminated
	}
	switch {
	case ended != nil && ended.ExitCode != 0 && ended.Reason == "OOMKilled":
		return finding{v1alpha1.ReasonRestoreFailed, "the restore from spec.restoreFrom uses more memory than spec.resources.limits allow", ""}
	case ended != nil && ended.ExitCode != 0:
		return finding{v1alpha1.ReasonRestoreFailed, "the restore from spec.restoreFrom failed, and is tried again", words(ended)}
	case c.State.Running != nil:
		return finding{v1alpha1.ReasonRestoring, fmt.Sprintf("the registry is being restored; `kubectl logs --container %s` of its pod shows how far it is", restoreName), ""}
	}
	return waiting(c)
}
