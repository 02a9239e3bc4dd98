package registry

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/conditions"
	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
)

// finding is what a check found: a reason, a message of ours that says what to do, and the words of whoever said it, which may
// be long. The zero finding is none.
type finding struct{ reason, message, said string }

// workloadReady says how Deployment and pods are.
func workloadReady(r *v1alpha1.Registry, f facts) *metav1.Condition {
	if !f.applied {
		return nil
	}
	const typ = v1alpha1.WorkloadReadyCondition
	found := checkWorkload(r, f)
	if found.reason == v1alpha1.ReasonRunning {
		c := conditions.True(typ, found.reason, found.message)
		return &c
	}
	c := conditions.False(typ, found.reason, join(found.message, found.said))
	return &c
}

// checkWorkload gives what the first check finds. The checks go from what is nearest to the cause (the kubelet's words about a
// container) to what is furthest (a Deployment that is not there yet).
func checkWorkload(r *v1alpha1.Registry, f facts) finding {
	want := podCount(r)
	if f.blocked && want > 0 && (f.deployment == nil || f.deployment.Status.ReadyReplicas == 0) {
		return finding{v1alpha1.ReasonSecretMissing, "pods wait for a Secret that the spec names", ""}
	}
	if f.deployment == nil { // just made
		return finding{v1alpha1.ReasonStarting, "the pod is starting", ""}
	}
	if want == 0 {
		return finding{v1alpha1.ReasonStopped, "spec.replicas is 0", ""}
	}
	st := f.deployment.Status
	if rolledOut(f.deployment, want) && st.ReadyReplicas >= want {
		return finding{v1alpha1.ReasonRunning, fmt.Sprintf("%d of %d pods are ready", st.ReadyReplicas, want), ""}
	}
	for i := range f.pods {
		if found := podTrouble(&f.pods[i], f.storageClass); found.reason != "" {
			return found
		}
	}
	if found := deploymentTrouble(r, f); found.reason != "" {
		return found
	}
	if want > 1 && st.ReadyReplicas >= want {
		return finding{v1alpha1.ReasonStarting, fmt.Sprintf("%d pods are ready; those of the version before are being replaced", st.ReadyReplicas), f.troubles[""]}
	}
	if want > 1 && st.ReadyReplicas > 0 {
		return finding{v1alpha1.ReasonStarting, fmt.Sprintf("%d of %d pods are ready; the others start, or are replaced", st.ReadyReplicas, want), f.troubles[""]}
	}
	for i := range f.pods {
		if running(&f.pods[i]) {
			return notReady(r, f)
		}
	}
	return finding{v1alpha1.ReasonStarting, "the pod is starting", f.podTrouble}
}

// rolledOut reports whether a Deployment has as many pods as it should, none of them of an earlier template.
func rolledOut(d *appsv1.Deployment, want int32) bool {
	st := d.Status
	return st.ObservedGeneration == d.Generation && st.UpdatedReplicas >= want && st.Replicas <= st.UpdatedReplicas
}

// notReady says why a server that runs is not ready, as far as it tells.
func notReady(r *v1alpha1.Registry, f facts) finding {
	const what = "the server runs and is not ready yet"
	switch {
	case f.trouble(catalogPart) != "":
		return finding{v1alpha1.ReasonNotReady, what + "; CatalogReady says why", ""}
	case f.trouble(storagePart) != "":
		return finding{v1alpha1.ReasonNotReady, what + "; StorageReady says why", ""}
	case f.troubles[""] != "":
		return finding{v1alpha1.ReasonNotReady, what, f.troubles[""]}
	}
	return finding{v1alpha1.ReasonNotReady, fmt.Sprintf("%s; `kubectl logs deployment/%s` says why", what, r.Name), ""}
}

// podTrouble finds what keeps a pod from running. Messages name no pod: its name is random, and would change the status
// with every new one.
func podTrouble(pod *corev1.Pod, storageClass string) finding {
	if pod.DeletionTimestamp != nil {
		return finding{}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			if storageClass != "" {
				return finding{v1alpha1.ReasonStorageClassMissing, storageClass, ""}
			}
			if lacksVolume(c.Message) { // StorageReady says why
				return finding{v1alpha1.ReasonStarting, "the pod waits for its volume", c.Message}
			}
			return finding{v1alpha1.ReasonUnschedulable, "no node fits the pod; make room, or change spec.resources, spec.nodeSelector or spec.tolerations", c.Message}
		}
	}
	for _, c := range pod.Status.InitContainerStatuses {
		if found := restoreTrouble(c); found.reason != "" {
			return found
		}
	}
	for _, c := range pod.Status.ContainerStatuses {
		if found := waiting(c); found.reason != "" {
			return found
		}
	}
	return finding{}
}

// lacksVolume reports whether the scheduler found no node because no volume is bound, or could be, or the claim goes or is gone: more room would not help.
func lacksVolume(said string) bool {
	return strings.Contains(said, "unbound immediate PersistentVolumeClaims") || strings.Contains(said, "available persistent volumes to bind") || lacksClaim.MatchString(said)
}

// lacksClaim is what the scheduler says between the deletion of a claim and another in its place.
var lacksClaim = regexp.MustCompile(`persistentvolumeclaim "[^"]*" (not found|is being deleted)`)

func waiting(c corev1.ContainerStatus) finding {
	if c.State.Waiting == nil {
		return finding{}
	}
	said := c.State.Waiting.Message
	switch c.State.Waiting.Reason {
	case "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable", "ImageInspectError":
		return finding{v1alpha1.ReasonImagePullFailed, "image " + c.Image + " cannot be pulled; check spec.image (or the operator's --image) and spec.imagePullSecrets", said}
	case "CrashLoopBackOff":
		if t := c.LastTerminationState.Terminated; t != nil && t.Reason == "OOMKilled" {
			return finding{v1alpha1.ReasonCrashLooping, "the server ends again and again: it uses more memory than it may; raise spec.resources.limits.memory", ""}
		}
		return finding{v1alpha1.ReasonCrashLooping, "the server ends again and again; `kubectl logs --previous` of its pod says why", lastWords(c)}
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
		return finding{v1alpha1.ReasonContainerConfigInvalid, "the kubelet cannot make the container; mend what it names", said}
	}
	return finding{}
}

// lastWords says how a container ended last.
func lastWords(c corev1.ContainerStatus) string {
	if t := c.LastTerminationState.Terminated; t != nil {
		return words(t)
	}
	return ""
}

// words says how a container ended. Its message is the end of its log, and crateyard's own last words come after the rest.
func words(t *corev1.ContainerStateTerminated) string {
	said := strings.TrimSpace(t.Message)
	if i := strings.LastIndex("\n"+said, "\ncrateyard: "); i > 0 {
		said = said[i:]
	}
	if said == "" {
		return fmt.Sprintf("exit code %d", t.ExitCode)
	}
	return fmt.Sprintf("exit code %d: %s", t.ExitCode, said)
}

// deploymentTrouble finds pods that could not even be made, and those that have been starting for too long. That they do so because the server waits for
// something, the server says itself.
func deploymentTrouble(r *v1alpha1.Registry, f facts) finding {
	for _, c := range f.deployment.Status.Conditions { // before the deadline, which passes when no pod can be made, too
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			return podsRefused(c.Message)
		}
	}
	runs := slices.ContainsFunc(f.pods, func(pod corev1.Pod) bool { return running(&pod) })
	for _, c := range f.deployment.Status.Conditions {
		if c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse && c.Reason == "ProgressDeadlineExceeded" && !runs {
			return finding{v1alpha1.ReasonProgressDeadlineExceeded, fmt.Sprintf("the pod does not start; `kubectl describe pods -l %s=%s` says why", names.RegistryLabel, r.Name), f.podTrouble}
		}
	}
	return finding{}
}

// podsRefused says what to do about a pod that the API server does not let in.
func podsRefused(said string) finding {
	what := "the API server refuses the pod; change the policy or limit range that it names, or spec.resources"
	if outcome.IsQuota(said) {
		what = "a quota of the namespace has no room for the pod; raise the quota, free what it counts, or lower spec.resources (`kubectl describe quota`)"
	}
	return finding{v1alpha1.ReasonPodsRefused, what, said}
}

func running(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodRunning
}

func join(what, said string) string {
	if said == "" {
		return what
	}
	return what + ": " + said
}
