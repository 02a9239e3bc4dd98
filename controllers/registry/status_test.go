package registry

import (
	"errors"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/conditions"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

func bound() *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound}}
}

func pending() *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}}
}

func deployment(ready int32, conds ...appsv1.DeploymentCondition) *appsv1.Deployment {
	return &appsv1.Deployment{Status: appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: ready, Conditions: conds}}
}

func waitingPod(reason, message string) corev1.Pod {
	return corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{
		Image: "img:v1", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
	}}}}
}

func crashing(t *corev1.ContainerStateTerminated) corev1.Pod {
	p := waitingPod("CrashLoopBackOff", "back-off 10s restarting failed container=registry pod=acme-5d9-x_default(1-2-3)")
	p.Status.ContainerStatuses[0].LastTerminationState.Terminated = t
	return p
}

func restorer(state corev1.ContainerState) corev1.Pod {
	return corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{{Name: restoreName, State: state}}}}
}

func unschedulable(message string) corev1.Pod {
	return corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: message,
	}}}}
}

func TestStatus(t *testing.T) {
	ok := &wire.Status{Version: "v1", Crates: 3, Versions: 7}
	for _, tt := range []struct {
		name     string
		facts    facts
		err      error
		reason   string // of Ready
		contains string // in its message
		abnormal string // Reconciling, Stalled or none
	}{
		{"works", facts{applied: true, volume: bound(), deployment: deployment(1), server: ok}, nil, v1alpha1.ReasonSucceeded, "serves http://acme.default.svc", ""},
		{"just applied", facts{applied: true}, nil, v1alpha1.ReasonVolumePending, "acme-data waits", "Reconciling"},
		{"volume pending", facts{applied: true, volume: pending(), deployment: deployment(0)}, nil, v1alpha1.ReasonVolumePending, "kubectl describe pvc acme-data", "Reconciling"},
		{"no class", facts{applied: true, volume: pending(), deployment: deployment(0), storageClass: "there is no StorageClass fast"}, nil, v1alpha1.ReasonStorageClassMissing, "fast", "Reconciling"},
		{"volume lost", facts{applied: true, volume: &corev1.PersistentVolumeClaim{Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimLost}}, deployment: deployment(0)}, nil, v1alpha1.ReasonVolumeDeleted, "lost", "Reconciling"},
		{"starting", facts{applied: true, volume: bound(), deployment: deployment(0)}, nil, v1alpha1.ReasonStarting, "starting", "Reconciling"},
		{"image", facts{applied: true, volume: bound(), deployment: deployment(0), pods: []corev1.Pod{waitingPod("ErrImagePull", "not found")}}, nil, v1alpha1.ReasonImagePullFailed, "image img:v1 cannot be pulled; check spec.image", "Reconciling"},
		{"image before volume", facts{applied: true, volume: pending(), deployment: deployment(0), pods: []corev1.Pod{waitingPod("ImagePullBackOff", "")}}, nil, v1alpha1.ReasonImagePullFailed, "img:v1", "Reconciling"},
		{"config", facts{applied: true, volume: bound(), deployment: deployment(0), pods: []corev1.Pod{waitingPod("CreateContainerConfigError", `secret "acme-admin" not found`)}}, nil, v1alpha1.ReasonContainerConfigInvalid, "the kubelet cannot make the container; mend what it names; WorkloadReady", "Reconciling"},
		{"crash", facts{applied: true, volume: bound(), deployment: deployment(0), pods: []corev1.Pod{crashing(&corev1.ContainerStateTerminated{ExitCode: 1, Message: "data folder is locked\n"})}}, nil, v1alpha1.ReasonCrashLooping, "kubectl logs --previous` of its pod says why; WorkloadReady says more", "Reconciling"},
		{"out of memory", facts{applied: true, volume: bound(), deployment: deployment(0), pods: []corev1.Pod{crashing(&corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"})}}, nil, v1alpha1.ReasonCrashLooping, "spec.resources.limits", "Reconciling"},
		{"unschedulable", facts{applied: true, volume: bound(), deployment: deployment(0), pods: []corev1.Pod{unschedulable("0/1 nodes are available: 1 Insufficient memory.")}}, nil, v1alpha1.ReasonUnschedulable, "no node fits the pod; make room, or change spec.resources, spec.nodeSelector or spec.tolerations; WorkloadReady", "Reconciling"},
		{"unschedulable while its volume goes", facts{applied: true, volume: pending(), deployment: deployment(0), pods: []corev1.Pod{unschedulable(`0/1 nodes are available: persistentvolumeclaim "acme-data" is being deleted. not found`)}}, nil, v1alpha1.ReasonVolumePending, "PersistentVolumeClaim acme-data waits for a volume", "Reconciling"},
		{"unschedulable since its volume is gone", facts{applied: true, volume: pending(), deployment: deployment(0), pods: []corev1.Pod{unschedulable(`0/1 nodes are available: persistentvolumeclaim "acme-data" not found. not found`)}}, nil, v1alpha1.ReasonVolumePending, "PersistentVolumeClaim acme-data waits for a volume", "Reconciling"},
		{"unschedulable for its volume", facts{applied: true, volume: pending(), volumeTrouble: "ProvisioningFailed: no room", deployment: deployment(0), pods: []corev1.Pod{unschedulable("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.")}}, nil, v1alpha1.ReasonVolumePending, "kubectl describe pvc acme-data` says what its provisioner does; StorageReady says more", "Reconciling"},
		{"unschedulable for a volume that waits for it", facts{applied: true, volume: pending(), deployment: deployment(0), pods: []corev1.Pod{unschedulable("0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind.")}}, nil, v1alpha1.ReasonVolumePending, "acme-data waits for a volume", "Reconciling"},
		{"volume pending for too long", facts{applied: true, volume: pending(), deployment: deployment(0, appsv1.DeploymentCondition{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded"})}, nil, v1alpha1.ReasonVolumePending, "acme-data waits for a volume", "Reconciling"},
		{"a volume that cannot be mounted", facts{applied: true, volume: bound(), deployment: deployment(0), podTrouble: "FailedMount: no such disk"}, nil, v1alpha1.ReasonStarting, "the pod is starting; WorkloadReady", "Reconciling"},
		{"starting for too long", facts{applied: true, volume: bound(), podTrouble: "FailedMount: no such disk", deployment: deployment(0, appsv1.DeploymentCondition{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded"})}, nil, v1alpha1.ReasonProgressDeadlineExceeded, "the pod does not start; `kubectl describe pods -l crateyard.dev/registry=", "Reconciling"},
		{"policy past the deadline", facts{applied: true, volume: bound(), deployment: deployment(0, appsv1.DeploymentCondition{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded"},
			appsv1.DeploymentCondition{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: "denied by policy x"})}, nil, v1alpha1.ReasonPodsRefused, "the API server refuses the pod; change the policy or limit range that it names, or spec.resources; WorkloadReady", "Reconciling"},
		{"quota", facts{applied: true, volume: bound(), deployment: deployment(0, appsv1.DeploymentCondition{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: "exceeded quota"})}, nil, v1alpha1.ReasonPodsRefused, "a quota of the namespace has no room for the pod; raise the quota, free what it counts, or lower spec.resources (`kubectl describe quota`); WorkloadReady", "Reconciling"},
		{"not ready", facts{applied: true, volume: bound(), deployment: deployment(0), pods: []corev1.Pod{{Status: corev1.PodStatus{Phase: corev1.PodRunning}}}}, nil, v1alpha1.ReasonNotReady, "kubectl logs deployment/acme", "Reconciling"},
		{"unreachable", facts{applied: true, volume: bound(), deployment: deployment(1), serverErr: errors.New("dial tcp: refused")}, nil, v1alpha1.ReasonUnreachable, "refused", "Reconciling"},
		{"token refused", facts{applied: true, volume: bound(), deployment: deployment(1), serverErr: &client.Error{StatusCode: 401, Detail: "unknown"}}, nil, v1alpha1.ReasonAdminTokenRefused, "acme-admin", "Reconciling"},
		{"database away", facts{applied: true, volume: bound(), deployment: deployment(0), pods: []corev1.Pod{{Status: corev1.PodStatus{Phase: corev1.PodRunning}}}, troubles: map[string]string{"catalog": "connection refused"}}, nil, v1alpha1.ReasonCatalogUnavailable, "the server cannot use its database; CatalogReady says more", "Reconciling"},
		{"storage away", facts{applied: true, volume: bound(), deployment: deployment(1), server: &wire.Status{Version: "v1", Storage: &wire.Backend{Backend: "filesystem", Message: "no space left on device"}}}, nil, v1alpha1.ReasonStorageUnavailable, "the server cannot use its storage; StorageReady says more", "Reconciling"},
		{"secret missing, volume waits for a pod", facts{applied: true, blocked: true, volume: pending(), missing: map[string]finding{v1alpha1.CatalogReadyCondition: {v1alpha1.ReasonSecretMissing, "there is no Secret pg", ""}}}, nil, v1alpha1.ReasonSecretMissing, "there is no Secret pg", "Reconciling"},
		{"old pods beside new ones", facts{applied: true, volume: bound(), deployment: &appsv1.Deployment{Status: appsv1.DeploymentStatus{Replicas: 2, UpdatedReplicas: 1, ReadyReplicas: 1}}, server: ok}, nil, v1alpha1.ReasonStarting, "starting", "Reconciling"},
		{"backup failed", facts{applied: true, volume: bound(), deployment: deployment(1), server: &wire.Status{Version: "v1", Backup: &wire.BackupStatus{LastFailed: new(time.Time)}}}, nil, v1alpha1.ReasonSucceeded, "serves", ""},
		{"stalled", facts{}, outcome.Stall(v1alpha1.ReasonNameTaken, "Service acme exists"), v1alpha1.ReasonNameTaken, "Service acme", "Stalled"},
		{"waiting", facts{}, outcome.WaitFor(time.Second, v1alpha1.ReasonProgressing, "is being deleted"), v1alpha1.ReasonProgressing, "deleted", "Reconciling"},
		{"failed", facts{}, errors.New("with cy_0123456789abcdef in http://me:pw@host/"), v1alpha1.ReasonFailed, "with cy_… in http://…@host/", "Reconciling"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &v1alpha1.Registry{ObjectMeta: metav1.ObjectMeta{Name: "acme", Namespace: "default", Generation: 2}}
			r.Status = status(r, tt.facts, tt.err, time.Now())
			for _, broken := range conditions.Check(r, r.Status.ObservedGeneration) {
				t.Error(broken)
			}
			ready := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ReadyCondition)
			if ready.Reason != tt.reason || !strings.Contains(ready.Message, tt.contains) {
				t.Errorf("Ready = %s %s (%s), want %s (%s)", ready.Status, ready.Reason, ready.Message, tt.reason, tt.contains)
			}
			for _, typ := range []string{v1alpha1.ReconcilingCondition, v1alpha1.StalledCondition} {
				if got := meta.FindStatusCondition(r.Status.Conditions, typ) != nil; got != (typ == tt.abnormal) {
					t.Errorf("%s is there: %t", typ, got)
				}
			}
			// Nothing changed since: the status must be equal, or it would be written in a circle.
			again := status(r, tt.facts, tt.err, time.Now().Add(time.Hour))
			if len(again.Conditions) != len(r.Status.Conditions) || again.Conditions[0] != r.Status.Conditions[0] {
				t.Errorf("the same facts gave another status:\n%v\n%v", r.Status.Conditions, again.Conditions)
			}
		})
	}
}

// Others' words may be long, so they stand in one condition, and the rest refers to it.
func TestTroubleIsToldOnce(t *testing.T) {
	const said = "said by others"
	for name, f := range map[string]facts{
		"catalog":       {troubles: map[string]string{"catalog": said}},
		"storage":       {troubles: map[string]string{"storage": said}},
		"server":        {troubles: map[string]string{"": said}, pods: []corev1.Pod{{Status: corev1.PodStatus{Phase: corev1.PodRunning}}}},
		"restore":       {pods: []corev1.Pod{restorer(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: said}})}},
		"volume":        {volume: pending(), volumeTrouble: said},
		"image":         {pods: []corev1.Pod{waitingPod("ErrImagePull", said)}},
		"config":        {pods: []corev1.Pod{waitingPod("CreateContainerConfigError", said)}},
		"crash":         {pods: []corev1.Pod{crashing(&corev1.ContainerStateTerminated{ExitCode: 1, Message: said})}},
		"unschedulable": {pods: []corev1.Pod{unschedulable(said)}},
		"quota":         {deployment: deployment(0, appsv1.DeploymentCondition{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: said})},
	} {
		t.Run(name, func(t *testing.T) {
			f.applied = true
			if f.volume == nil {
				f.volume = bound()
			}
			if f.deployment == nil {
				f.deployment = deployment(0)
			}
			var tell []string
			for _, c := range status(&v1alpha1.Registry{}, f, nil, time.Now()).Conditions {
				if strings.Contains(c.Message, said) {
					tell = append(tell, c.Type)
				}
				if c.Type == v1alpha1.ReadyCondition && !strings.HasSuffix(c.Message, "Ready says more") {
					t.Errorf("Ready does not refer to its cause: %s", c.Message)
				}
			}
			if len(tell) != 1 {
				t.Errorf("told by %v, want one condition", tell)
			}
		})
	}
}

func TestIngressReady(t *testing.T) {
	addressed := func(a networkingv1.IngressLoadBalancerIngress) *networkingv1.Ingress {
		return &networkingv1.Ingress{Status: networkingv1.IngressStatus{LoadBalancer: networkingv1.IngressLoadBalancerStatus{Ingress: []networkingv1.IngressLoadBalancerIngress{a}}}}
	}
	for _, tt := range []struct {
		name     string
		class    string
		facts    facts
		status   metav1.ConditionStatus
		contains string
	}{
		{"not applied", "", facts{}, metav1.ConditionUnknown, "not looked at yet"},
		{"just applied", "nginx", facts{applied: true}, metav1.ConditionFalse, "runs for class nginx"},
		{"no address", "", facts{applied: true, ingress: &networkingv1.Ingress{}}, metav1.ConditionFalse, "spec.ingress.className is empty"},
		{"ip", "", facts{applied: true, ingress: addressed(networkingv1.IngressLoadBalancerIngress{IP: "192.0.2.7"})}, metav1.ConditionTrue, "192.0.2.7"},
		{"host name", "", facts{applied: true, ingress: addressed(networkingv1.IngressLoadBalancerIngress{Hostname: "lb.example"})}, metav1.ConditionTrue, "lb.example"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &v1alpha1.Registry{ObjectMeta: metav1.ObjectMeta{Name: "acme", Namespace: "default"}}
			r.Spec.Ingress = &v1alpha1.IngressSpec{Host: "in.example", ClassName: tt.class}
			tt.facts.volume, tt.facts.deployment, tt.facts.server = bound(), deployment(1), &wire.Status{Version: "v1"}
			conds := status(r, tt.facts, nil, time.Now()).Conditions
			c := meta.FindStatusCondition(conds, v1alpha1.IngressReadyCondition)
			if c == nil || c.Status != tt.status || !strings.Contains(c.Message, tt.contains) {
				t.Errorf("IngressReady = %+v, want %s (%s)", c, tt.status, tt.contains)
			}
			if tt.facts.applied && !isTrue(conds, v1alpha1.ReadyCondition) {
				t.Error("Ready waits for the Ingress")
			}
		})
	}
}

func TestLatestTrouble(t *testing.T) {
	at := func(hours int) metav1.Time { return metav1.NewTime(time.Unix(int64(hours)*3600, 0)) }
	for _, tt := range []struct {
		name   string
		events []corev1.Event
		want   string
	}{
		{"none", nil, ""},
		{"no trouble", []corev1.Event{{Type: "Normal", Reason: "WaitForFirstConsumer", Message: "waiting for a pod"}}, ""},
		{"trouble that is called normal", []corev1.Event{{Type: "Normal", Reason: "FailedBinding", Message: "no storage class is set"}}, "FailedBinding: no storage class is set"},
		{"the last one", []corev1.Event{
			{Type: "Warning", Reason: "A", Message: "a", EventTime: metav1.NewMicroTime(at(2).Time)},
			{Type: "Warning", Reason: "B", Message: "b", Series: &corev1.EventSeries{LastObservedTime: metav1.NewMicroTime(at(4).Time)}, LastTimestamp: at(1)},
			{Type: "Warning", Reason: "C", Message: "c", LastTimestamp: at(3)},
		}, "B: b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := latestTrouble(tt.events); got != tt.want {
				t.Errorf("latestTrouble = %q, want %q", got, tt.want)
			}
		})
	}
}
