package registry

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/names"
)

// userID is the user, and group, that the server runs as: nonroot of the distroless images, and of ours.
const userID int64 = 65532

// containerName is the server's container.
const containerName = "registry"

func (p Params) serviceAccount() *corev1ac.ServiceAccountApplyConfiguration {
	return corev1ac.ServiceAccount(p.name(), p.Registry.Namespace).
		WithLabels(p.labels()).WithOwnerReferences(p.owner()).
		WithAnnotations(annotationsWith(nil, p.Registry.Spec.ServiceAccount.Annotations)).
		// The server knows nothing of Kubernetes. A platform that gives pods credentials mounts a token of its own.
		WithAutomountServiceAccountToken(false)
}

func (p Params) deployment() *appsv1ac.DeploymentApplyConfiguration {
	return appsv1ac.Deployment(p.name(), p.Registry.Namespace).
		WithLabels(p.labels()).WithOwnerReferences(p.owner()).
		WithSpec(appsv1ac.DeploymentSpec().
			WithReplicas(podCount(p.Registry)).
			WithRevisionHistoryLimit(3).
			WithProgressDeadlineSeconds(300).
			WithStrategy(p.strategy()).
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(names.SelectorFor(p.name()))).
			WithTemplate(corev1ac.PodTemplateSpec().
				WithLabels(p.labels()).
				WithAnnotations(map[string]string{names.ConfigAnnotation: p.configDigest()}).
				WithSpec(p.podSpec())))
}

func (p Params) podSpec() *corev1ac.PodSpecApplyConfiguration {
	spec := corev1ac.PodSpec().
		WithServiceAccountName(p.name()).
		WithAutomountServiceAccountToken(false).
		WithEnableServiceLinks(false).
		// The sleep before the signal, the drain delay, publishes that are under way, and the catalog's last checkpoint.
		WithTerminationGracePeriodSeconds(60).
		WithSecurityContext(corev1ac.PodSecurityContext().
			WithRunAsNonRoot(true).WithRunAsUser(userID).WithRunAsGroup(userID).WithFSGroup(userID).
			WithFSGroupChangePolicy(corev1.FSGroupChangeOnRootMismatch).
			WithSeccompProfile(corev1ac.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))).
		WithContainers(p.container())
	if restoring(p.Registry) {
		spec.WithInitContainers(p.restoreContainer())
	}
	for _, at := range p.places() {
		spec.WithVolumes(at.volume)
	}
	if scalable(p.Registry) {
		spec.WithTopologySpreadConstraints(p.spread("kubernetes.io/hostname"), p.spread("topology.kubernetes.io/zone"))
	}
	for _, s := range p.Registry.Spec.ImagePullSecrets {
		spec.WithImagePullSecrets(corev1ac.LocalObjectReference().WithName(string(s.Name)))
	}
	for k, v := range p.Registry.Spec.NodeSelector {
		spec.WithNodeSelector(map[string]string{k: string(v)})
	}
	for _, t := range p.Registry.Spec.Tolerations {
		spec.WithTolerations(toleration(t))
	}
	return spec
}

func (p Params) container() *corev1ac.ContainerApplyConfiguration {
	c := p.baseContainer(containerName, "serve", "--config", configDir+"/"+configKey).
		WithPorts(
			corev1ac.ContainerPort().WithName("http").WithContainerPort(publicPort).WithProtocol(corev1.ProtocolTCP),
			corev1ac.ContainerPort().WithName("ops").WithContainerPort(opsPort).WithProtocol(corev1.ProtocolTCP)).
		// Starting may mean migrating a large catalog: ten minutes.
		WithStartupProbe(probe(serving).WithPeriodSeconds(1).WithFailureThreshold(600)).
		WithReadinessProbe(probe(serving).WithPeriodSeconds(2).WithFailureThreshold(5)).
		WithLivenessProbe(probe("/healthz").WithPeriodSeconds(10).WithFailureThreshold(6))
	if scalable(p.Registry) { // one that is alone would be away for longer by it
		c.WithLifecycle(corev1ac.Lifecycle().WithPreStop(corev1ac.LifecycleHandler().WithSleep(corev1ac.SleepAction().WithSeconds(stopSleep))))
	}
	return c
}

// baseContainer is what the pod's containers have in common.
func (p Params) baseContainer(name string, args ...string) *corev1ac.ContainerApplyConfiguration {
	c := corev1ac.Container().
		WithName(name).
		WithTerminationMessagePolicy(corev1.TerminationMessageFallbackToLogsOnError).
		WithImage(p.image()).
		WithArgs(args...).
		WithEnv(p.env()...).
		WithResources(p.resources()).
		WithSecurityContext(corev1ac.SecurityContext().
			WithAllowPrivilegeEscalation(false).WithPrivileged(false).WithReadOnlyRootFilesystem(true).WithRunAsNonRoot(true).
			WithCapabilities(corev1ac.Capabilities().WithDrop("ALL")).
			WithSeccompProfile(corev1ac.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault)))
	for _, at := range p.places() {
		c.WithVolumeMounts(at.mount)
	}
	return c
}

// serving is what a pod's readiness asks. It leaves out catalog and storage: when a database, a bucket or a disk is in trouble, taking the pods
// out of the Service would keep them from serving what they can, and from saying what is wrong; the conditions say it. A new pod
// has reached both before it serves at all.
const serving = "/readyz?exclude=catalog&exclude=storage"

func probe(path string) *corev1ac.ProbeApplyConfiguration {
	return corev1ac.Probe().
		WithHTTPGet(corev1ac.HTTPGetAction().WithPath(path).WithPort(intstr.FromString("ops"))).
		WithTimeoutSeconds(5)
}

func (p Params) image() string {
	if p.Registry.Spec.Image != "" {
		return p.Registry.Spec.Image
	}
	return p.Image
}

func (p Params) resources() *corev1ac.ResourceRequirementsApplyConfiguration {
	given := p.Registry.Spec.Resources
	if given == nil {
		given = &v1alpha1.ResourceRequirements{
			Requests: map[string]resource.Quantity{"cpu": resource.MustParse("50m"), "memory": resource.MustParse("64Mi")},
			Limits:   map[string]resource.Quantity{"memory": resource.MustParse("512Mi")},
		}
	}
	return corev1ac.ResourceRequirements().WithRequests(resourceList(given.Requests)).WithLimits(resourceList(given.Limits))
}

func resourceList(m map[string]resource.Quantity) corev1.ResourceList {
	list := corev1.ResourceList{}
	for name, q := range m {
		list[corev1.ResourceName(name)] = q
	}
	return list
}

func toleration(t v1alpha1.Toleration) *corev1ac.TolerationApplyConfiguration {
	ac := corev1ac.Toleration()
	if t.Key != "" {
		ac.WithKey(t.Key)
	}
	if t.Operator != "" {
		ac.WithOperator(corev1.TolerationOperator(t.Operator))
	}
	if t.Value != "" {
		ac.WithValue(t.Value)
	}
	if t.Effect != "" {
		ac.WithEffect(corev1.TaintEffect(t.Effect))
	}
	if t.TolerationSeconds != nil {
		ac.WithTolerationSeconds(*t.TolerationSeconds)
	}
	return ac
}

// replicas of a Registry; one where nothing is said.
func replicas(r *v1alpha1.Registry) int32 {
	if r.Spec.Replicas == nil {
		return 1
	}
	return *r.Spec.Replicas
}
