package registry

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/names"
)

// stopSleep is how long a pod goes on as before when it is told to end, while Services and ingress controllers come to know that it
// does. Kubernetes tells them at the same moment.
const stopSleep = 5

// strategy replaces one pod after the other where several can serve at a time, so that somebody always does.
func (p Params) strategy() *appsv1ac.DeploymentStrategyApplyConfiguration {
	if !scalable(p.Registry) || restoring(p.Registry) {
		// The volume is one node's at a time, and the server locks its folder: the old pod must go before a new one comes.
		return appsv1ac.DeploymentStrategy().WithType(appsv1.RecreateDeploymentStrategyType)
	}
	return appsv1ac.DeploymentStrategy().WithType(appsv1.RollingUpdateDeploymentStrategyType).
		WithRollingUpdate(appsv1ac.RollingUpdateDeployment().WithMaxUnavailable(intstr.FromInt32(0)).WithMaxSurge(intstr.FromInt32(1)))
}

// spread asks for pods in different places, where there are some: one that fails then takes one pod with it. Only pods of one
// template count, for the old ones go.
func (p Params) spread(by string) *corev1ac.TopologySpreadConstraintApplyConfiguration {
	return corev1ac.TopologySpreadConstraint().
		WithTopologyKey(by).WithMaxSkew(1).WithWhenUnsatisfiable(corev1.ScheduleAnyway).
		WithLabelSelector(metav1ac.LabelSelector().WithMatchLabels(names.SelectorFor(p.name()))).
		WithMatchLabelKeys(appsv1.DefaultDeploymentUniqueLabelKey)
}

// wantsBudget reports whether a Registry has a PodDisruptionBudget. For one pod it would only keep nodes from being drained.
func wantsBudget(r *v1alpha1.Registry) bool { return replicas(r) > 1 }

// budget lets one pod at a time be evicted. Those that do not work may always be.
func (p Params) budget() *policyv1ac.PodDisruptionBudgetApplyConfiguration {
	return policyv1ac.PodDisruptionBudget(p.name(), p.Registry.Namespace).
		WithLabels(p.labels()).WithOwnerReferences(p.owner()).
		WithSpec(policyv1ac.PodDisruptionBudgetSpec().
			WithMaxUnavailable(intstr.FromInt32(1)).
			WithUnhealthyPodEvictionPolicy(policyv1.AlwaysAllow).
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(names.SelectorFor(p.name()))))
}
