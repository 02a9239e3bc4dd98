package registry

import (
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/conditions"
	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

// facts are what the steps saw. What a step did not come to is nil or empty.
type facts struct {
	paused bool

	volume       *corev1.PersistentVolumeClaim
	adopting     bool               // the volume is of an earlier Registry
	larger       *resource.Quantity // what the spec asks for, when the volume has more
	growth       string             // why the volume did not become as large as the spec asks for; empty: it did
	storageClass string             // why no volume can come of the storage class
	classUnread  bool               // the operator may not read storage classes
	// volumeTrouble is what the cluster said last about why the volume does not come.
	volumeTrouble string

	adminToken            string
	departed              bool // users went while there was no Registry
	applied               bool // all children
	serviceMonitorMissing bool // asked for, and the cluster does not know the kind

	deployment *appsv1.Deployment
	pods       []corev1.Pod
	podTrouble string // what the cluster said last about why a pod does not start
	ingress    *networkingv1.Ingress

	missing map[string]finding // of the Secrets of others, by the condition that tells
	blocked bool               // pods cannot start without what is missing
	secrets []byte             // digest of what matters in the Secrets of others

	restored  bool              // just now
	troubles  map[string]string // why pods are not ready, by the part of the server
	server    *wire.Status
	serverErr error
}

// status computes a Registry's status from what it was, what the steps saw, and how they ended.
func status(r *v1alpha1.Registry, f facts, err error, now time.Time) v1alpha1.RegistryStatus {
	st := *r.Status.DeepCopy()
	st.LastHandledReconcileAt = r.Annotations[v1alpha1.RequestedAtAnnotation]
	if len(st.LastHandledReconcileAt) > 256 {
		st.LastHandledReconcileAt = st.LastHandledReconcileAt[:256]
	}
	if f.paused {
		return pausedStatus(r, st, now)
	}
	st.URL = DesiredURL(r)
	st.IndexURL = wire.IndexURL(st.URL)
	st.Selector = labels.SelectorFromSet(names.SelectorFor(r.Name)).String()
	if f.restored {
		at := metav1.NewTime(now.Truncate(time.Second))
		st.RestoredAt = &at
	}
	if f.adminToken != "" {
		st.AdminTokenSecretName = names.AdminSecret(r.Name)
	}
	if f.deployment != nil {
		st.Replicas, st.ReadyReplicas = f.deployment.Status.Replicas, f.deployment.Status.ReadyReplicas
	}
	if f.server != nil {
		st.Version, st.Crates, st.Versions = f.server.Version, &f.server.Crates, &f.server.Versions
	}

	upkeep(r, &st, f.server)

	causes := []metav1.Condition{
		kept(r, v1alpha1.StorageReadyCondition, storageReady(r, f)),
		kept(r, v1alpha1.CatalogReadyCondition, catalogReady(r, f)),
		kept(r, v1alpha1.WorkloadReadyCondition, workloadReady(r, f)),
		kept(r, v1alpha1.ServerReachableCondition, serverReachable(r, f)),
	}
	for _, c := range []*metav1.Condition{ingressReady(r, f), monitoringReady(r, f, err), backupReady(r, f), cratesIntact(r, f), clocksAgree(r, f)} {
		if c != nil {
			causes = append(causes, *c)
		}
	}
	summary := summarize(r, f, err, causes)
	if err == nil && isTrue(summary, v1alpha1.ReadyCondition) || isStalled(err) || err == nil && replicas(r) == 0 {
		st.ObservedGeneration = r.Generation
	}
	st.Conditions = conditions.Merge(r.Status.Conditions, append(summary, causes...), r.Generation, now)
	return st
}

// summarize gives Ready and what goes with it.
func summarize(r *v1alpha1.Registry, f facts, err error, causes []metav1.Condition) []metav1.Condition {
	if err == nil && replicas(r) == 0 {
		return []metav1.Condition{conditions.False(v1alpha1.ReadyCondition, v1alpha1.ReasonStopped, "stopped, because spec.replicas is 0; all data is kept")}
	}
	ready := fmt.Sprintf("serves %s", DesiredURL(r)) + ingressNote(r, f)
	if takesOver(r) {
		ready += "; remove the annotation " + v1alpha1.TakeOverAnnotation + ", which has done its work"
	}
	if shortAudit(r.Spec.Audit) {
		ready += fmt.Sprintf("; keeps the audit for 24h, which is the least, and not for the %s of spec.audit.keep: set that to 24h or more, or to 0s, for ever", r.Spec.Audit.Keep)
	}
	return conditions.Summary(err, brief(r, f, firstCause(causes)), ready)
}

// informational are the conditions that Ready does not wait for.
var informational = map[string]bool{v1alpha1.IngressReadyCondition: true, v1alpha1.MonitoringReadyCondition: true,
	v1alpha1.BackupReadyCondition: true, v1alpha1.CratesIntactCondition: true, v1alpha1.ClocksAgreeCondition: true}

// firstCause is the condition that keeps the Registry from being ready: the one that all behind it wait for. A pod cannot
// start without its volume, but its own troubles (an image, a node) come first, since a volume may wait for the pod in turn. What
// nobody knows yet is a cause only when nothing else is.
func firstCause(causes []metav1.Condition) *metav1.Condition {
	var first, unknown *metav1.Condition
	for i, c := range causes {
		switch {
		case c.Status == metav1.ConditionTrue || informational[c.Type]:
		case c.Status == metav1.ConditionUnknown:
			unknown = &causes[i]
		case first == nil || first.Reason == v1alpha1.ReasonVolumePending && c.Reason != v1alpha1.ReasonStarting && c.Reason != v1alpha1.ReasonProgressDeadlineExceeded:
			first = &causes[i]
		}
	}
	if first == nil {
		return unknown
	}
	return first
}

// brief gives a cause as Ready tells it: in our words. Those of others, such as the kubelet's long ones about an image, stand in
// the cause's own condition alone.
func brief(r *v1alpha1.Registry, f facts, cause *metav1.Condition) *metav1.Condition {
	if cause == nil {
		return nil
	}
	var said string
	switch cause.Type {
	case v1alpha1.StorageReadyCondition:
		said = f.volumeTrouble
		if cause.Reason == v1alpha1.ReasonStorageUnavailable {
			said = f.trouble(storagePart)
		}
	case v1alpha1.CatalogReadyCondition:
		said = f.trouble(catalogPart)
	case v1alpha1.WorkloadReadyCondition:
		said = checkWorkload(r, f).said
	}
	b := *cause
	if ours, has := strings.CutSuffix(b.Message, join("", said)); has && said != "" {
		b.Message = ours + "; " + cause.Type + " says more"
	}
	return &b
}

// pausedStatus says nothing of a spec that nobody looks at: Ready is unknown, and the causes stay those of the generation that was looked at.
func pausedStatus(r *v1alpha1.Registry, st v1alpha1.RegistryStatus, now time.Time) v1alpha1.RegistryStatus {
	const message = "spec.reconciliation is Disabled: the operator leaves this Registry alone"
	st.Conditions = conditions.Merge(r.Status.Conditions, []metav1.Condition{
		conditions.Unknown(v1alpha1.ReadyCondition, v1alpha1.ReasonPaused, message),
		conditions.True(v1alpha1.PausedCondition, v1alpha1.ReasonPaused, message),
	}, r.Generation, now)
	for _, c := range r.Status.Conditions {
		switch c.Type {
		case v1alpha1.ReadyCondition, v1alpha1.PausedCondition, v1alpha1.ReconcilingCondition, v1alpha1.StalledCondition:
		default:
			st.Conditions = append(st.Conditions, c)
		}
	}
	return st
}

// kept gives now, or the condition as it was when this reconcile did not come so far as to know.
func kept(r *v1alpha1.Registry, typ string, now *metav1.Condition) metav1.Condition {
	if now != nil {
		return *now
	}
	if was := meta.FindStatusCondition(r.Status.Conditions, typ); was != nil {
		return *was
	}
	return conditions.Unknown(typ, v1alpha1.ReasonUnknown, "not looked at yet")
}

// volumeReady says whether the volume is there.
func volumeReady(r *v1alpha1.Registry, f facts) *metav1.Condition {
	const typ = v1alpha1.StorageReadyCondition
	name := names.Data(r.Name)
	switch {
	case f.volume == nil && f.storageClass != "":
		return condition(conditions.False(typ, v1alpha1.ReasonStorageClassMissing, f.storageClass))
	case f.volume == nil && !f.applied:
		return nil
	case f.volume == nil: // just made
	case f.volume.DeletionTimestamp != nil:
		why := doomed(r, f.volume)
		if why == "" {
			why = fmt.Sprintf("PersistentVolumeClaim %s is being deleted with the earlier Registry that it belongs to; it is made anew when it is gone", name)
		}
		return condition(conditions.False(typ, v1alpha1.ReasonVolumeDeleted, why))
	case f.volume.Status.Phase == corev1.ClaimLost:
		return condition(conditions.False(typ, v1alpha1.ReasonVolumeDeleted, fmt.Sprintf("PersistentVolumeClaim %s lost its volume; restore it, or delete the claim to begin with an empty one", name)))
	case f.volume.Status.Phase == corev1.ClaimBound && f.growth != "":
		size := f.volume.Spec.Resources.Requests[corev1.ResourceStorage]
		return condition(conditions.True(typ, v1alpha1.ReasonVolumeBound, fmt.Sprintf("PersistentVolumeClaim %s is bound and keeps its %s, for it cannot grow; let its storage class expand volumes (allowVolumeExpansion), or set the size back: %s", name, &size, f.growth)))
	case f.volume.Status.Phase == corev1.ClaimBound && f.larger != nil:
		return condition(conditions.True(typ, v1alpha1.ReasonVolumeBound, fmt.Sprintf("PersistentVolumeClaim %s is bound; it keeps its size, for a volume cannot shrink to the %s of the spec", name, f.larger)))
	case f.volume.Status.Phase == corev1.ClaimBound:
		return condition(conditions.True(typ, v1alpha1.ReasonVolumeBound, fmt.Sprintf("PersistentVolumeClaim %s is bound", name)))
	case f.storageClass != "":
		return condition(conditions.False(typ, v1alpha1.ReasonStorageClassMissing, f.storageClass))
	}
	waits := fmt.Sprintf("PersistentVolumeClaim %s waits for a volume; `kubectl describe pvc %s` says what its provisioner does", name, name)
	if f.classUnread {
		waits += "; whether its storage class exists, the operator may not look (`kubectl get storageclasses`)"
	}
	return condition(conditions.False(typ, v1alpha1.ReasonVolumePending, join(waits, f.volumeTrouble)))
}

func serverReachable(r *v1alpha1.Registry, f facts) *metav1.Condition {
	const typ = v1alpha1.ServerReachableCondition
	var c metav1.Condition
	switch {
	case f.server != nil:
		c = conditions.True(typ, v1alpha1.ReasonAnswers, "the server answers, version "+f.server.Version)
	case client.IsUnauthorized(f.serverErr) || client.IsForbidden(f.serverErr):
		c = conditions.False(typ, v1alpha1.ReasonAdminTokenRefused, fmt.Sprintf("the server does not accept the token in Secret %s: %v", names.AdminSecret(r.Name), f.serverErr))
	case f.serverErr != nil:
		c = conditions.False(typ, v1alpha1.ReasonUnreachable, fmt.Sprintf("the server does not answer the operator: %v", f.serverErr))
	case f.applied && replicas(r) == 0:
		c = conditions.False(typ, v1alpha1.ReasonStopped, "spec.replicas is 0")
	case f.applied:
		c = conditions.False(typ, v1alpha1.ReasonStarting, "no pod is ready yet")
	default:
		return nil
	}
	return &c
}

// monitoringReady is there while a ServiceMonitor is wanted. It stays after a failure, for it is how prune knows that there
// may be one to remove.
func monitoringReady(r *v1alpha1.Registry, f facts, err error) *metav1.Condition {
	const typ = v1alpha1.MonitoringReadyCondition
	switch {
	case r.Spec.Monitoring.ServiceMonitor != v1alpha1.Enabled:
		if was := meta.FindStatusCondition(r.Status.Conditions, typ); was != nil && err != nil {
			return was
		}
		return nil
	case f.serviceMonitorMissing:
		c := conditions.False(typ, v1alpha1.ReasonServiceMonitorMissing, "the cluster does not know ServiceMonitors; install the Prometheus operator, or set spec.monitoring.serviceMonitor to Disabled")
		return &c
	}
	if !f.applied {
		c := kept(r, typ, nil)
		return &c
	}
	c := conditions.True(typ, v1alpha1.ReasonSucceeded, "ServiceMonitor "+r.Name+" is there")
	return &c
}

func hadServiceMonitor(r *v1alpha1.Registry) bool {
	return meta.FindStatusCondition(r.Status.Conditions, v1alpha1.MonitoringReadyCondition) != nil
}

func isReady(r *v1alpha1.Registry) bool { return isTrue(r.Status.Conditions, v1alpha1.ReadyCondition) }

func isTrue(conds []metav1.Condition, typ string) bool { return meta.IsStatusConditionTrue(conds, typ) }

func isStalled(err error) bool {
	_, ok := outcome.IsStalled(err)
	return ok
}
