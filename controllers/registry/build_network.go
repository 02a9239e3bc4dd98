package registry

import (
	"net/url"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"

	"github.com/crateyard/crateyard/controllers/internal/names"
)

// serviceMonitorKind is the Prometheus operator's.
var serviceMonitorKind = schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "ServiceMonitor"}

// service is the public port alone: what must not be reached from outside has a Service of its own.
func (p Params) service() *corev1ac.ServiceApplyConfiguration {
	typ := p.Registry.Spec.Service.Type
	if typ == "" {
		typ = string(corev1.ServiceTypeClusterIP)
	}
	return corev1ac.Service(p.name(), p.Registry.Namespace).
		WithLabels(p.labels()).WithOwnerReferences(p.owner()).
		WithAnnotations(annotationsWith(nil, p.Registry.Spec.Service.Annotations)).
		WithSpec(corev1ac.ServiceSpec().
			WithType(corev1.ServiceType(typ)).
			WithSelector(names.SelectorFor(p.name())).
			WithPorts(corev1ac.ServicePort().WithName("http").WithPort(80).WithProtocol(corev1.ProtocolTCP).WithTargetPort(intstr.FromString("http"))))
}

// metricsService reaches metrics and health, inside the cluster only.
func (p Params) metricsService() *corev1ac.ServiceApplyConfiguration {
	labels := p.labels()
	labels[names.ComponentLabel] = "metrics" // by which the ServiceMonitor finds it
	return corev1ac.Service(names.Metrics(p.name()), p.Registry.Namespace).
		WithLabels(labels).WithOwnerReferences(p.owner()).
		WithSpec(corev1ac.ServiceSpec().
			WithType(corev1.ServiceTypeClusterIP).
			WithSelector(names.SelectorFor(p.name())).
			WithPorts(corev1ac.ServicePort().WithName("ops").WithPort(opsPort).WithProtocol(corev1.ProtocolTCP).WithTargetPort(intstr.FromString("ops"))))
}

func (p Params) ingress() *networkingv1ac.IngressApplyConfiguration {
	in := p.Registry.Spec.Ingress
	spec := networkingv1ac.IngressSpec().WithRules(networkingv1ac.IngressRule().WithHost(in.Host).
		WithHTTP(networkingv1ac.HTTPIngressRuleValue().WithPaths(networkingv1ac.HTTPIngressPath().
			WithPath(urlPath(DesiredURL(p.Registry))).WithPathType(networkingv1.PathTypePrefix).
			WithBackend(networkingv1ac.IngressBackend().WithService(networkingv1ac.IngressServiceBackend().
				WithName(p.name()).WithPort(networkingv1ac.ServiceBackendPort().WithName("http")))))))
	if in.ClassName != "" {
		spec.WithIngressClassName(in.ClassName)
	}
	if in.TLSSecretName != "" {
		spec.WithTLS(networkingv1ac.IngressTLS().WithHosts(in.Host).WithSecretName(in.TLSSecretName))
	}
	// ingress-nginx lets 1 MiB through unless told otherwise. A publish is the crate and at most 2 MiB of metadata and framing.
	own := map[string]string{"nginx.ingress.kubernetes.io/proxy-body-size": strconv.FormatInt(p.crateSize()+2<<20, 10)}
	return networkingv1ac.Ingress(p.name(), p.Registry.Namespace).
		WithLabels(p.labels()).WithOwnerReferences(p.owner()).
		WithAnnotations(annotationsWith(own, in.Annotations)).
		WithSpec(spec)
}

// serviceMonitor is unstructured, since its types are a module of their own.
func (p Params) serviceMonitor() *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{
			"selector": map[string]any{"matchLabels": map[string]any{
				names.RegistryLabel: p.name(), names.ComponentLabel: "metrics",
			}},
			"endpoints": []any{map[string]any{"port": "ops", "path": "/metrics"}},
		},
		"metadata": map[string]any{"ownerReferences": []any{map[string]any{
			"apiVersion": *p.owner().APIVersion, "kind": "Registry", "name": p.name(), "uid": string(p.Registry.UID),
			"controller": true, "blockOwnerDeletion": true,
		}}},
	}}
	u.SetGroupVersionKind(serviceMonitorKind)
	u.SetName(p.name())
	u.SetNamespace(p.Registry.Namespace)
	u.SetLabels(p.labels())
	return u
}

// urlPath gives the path of an address, / at least.
func urlPath(address string) string {
	if u, err := url.Parse(address); err == nil && u.Path != "" {
		return u.Path
	}
	return "/"
}
