package controllers_test

import (
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/crateyard/crateyard/api/v1alpha1"
)

// installServiceMonitors makes the cluster know ServiceMonitors until the test ends; other tests need one that does not.
func (h *harness) installServiceMonitors() {
	h.Helper()
	options := envtest.CRDInstallOptions{Paths: []string{"testdata/servicemonitors.yaml"}, ErrorIfPathMissing: true, MaxTime: time.Minute, PollInterval: 50 * time.Millisecond}
	if _, err := envtest.InstallCRDs(config, options); err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() {
		if err := envtest.UninstallCRDs(config, options); err != nil {
			h.Error(err)
		}
		for range 1200 { // until discovery has forgotten it, too
			c, err := client.New(config, client.Options{})
			if err != nil {
				h.Error(err)
				return
			}
			if _, err := c.RESTMapper().RESTMapping(schema.GroupKind{Group: "monitoring.coreos.com", Kind: "ServiceMonitor"}, "v1"); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		h.Error("the cluster still knows ServiceMonitors")
	})
}

// The kind may come while the operator runs. From then on what others do to a ServiceMonitor is mended at once, and not when
// the Registry is looked at anyway, which is about every ten seconds here.
func TestServiceMonitorIsWatched(t *testing.T) {
	h := newHarness(t)
	h.urls["acme"] = "http://127.0.0.1:1"
	h.makeRegistry("acme", v1alpha1.RegistrySpec{
		Monitoring: v1alpha1.MonitoringSpec{ServiceMonitor: v1alpha1.Enabled},
		Ingress:    &v1alpha1.IngressSpec{Host: "crates.example.com"},
	})
	h.startOperator()
	h.eventually("an Ingress", func() bool { return h.exists("acme", &networkingv1.Ingress{}) })
	h.installServiceMonitors()
	monitor := func() *unstructured.Unstructured {
		u := &unstructured.Unstructured{}
		u.SetAPIVersion("monitoring.coreos.com/v1")
		u.SetKind("ServiceMonitor")
		return u
	}
	h.eventually("a ServiceMonitor", func() bool { return h.exists("acme", monitor()) })

	soon := func(what string, harm func()) {
		t.Helper()
		// A busy machine may take its time now and then; who waits for the next look at the Registry takes it each time but the first, which
		// may come right before that.
		for i := range 6 {
			begin := time.Now()
			harm()
			h.eventually(what, func() bool {
				u := monitor()
				if !h.exists("acme", u) {
					return false
				}
				labels, _, err := unstructured.NestedStringMap(u.Object, "spec", "selector", "matchLabels")
				return err == nil && labels["crateyard.dev/registry"] == "acme"
			})
			if i > 0 && time.Since(begin) < 5*time.Second {
				return
			}
		}
		t.Errorf("%s: it was mended later than a watch would tell", what)
	}
	soon("its selector again", func() {
		h.eventually("another selector", func() bool { // of what nobody else has changed meanwhile
			edited := get(h, "acme", monitor())
			h.must(unstructured.SetNestedStringMap(edited.Object, map[string]string{"app": "other"}, "spec", "selector", "matchLabels"))
			return h.client.Update(t.Context(), edited) == nil
		})
	})
	soon("the ServiceMonitor again", func() { h.must(h.client.Delete(t.Context(), get(h, "acme", monitor()))) })

	r := get(h, "acme", &v1alpha1.Registry{})
	r.Spec.Monitoring.ServiceMonitor, r.Spec.Ingress = v1alpha1.Disabled, nil
	h.must(h.client.Update(t.Context(), r))
	h.eventually("both gone", func() bool {
		return apierrors.IsNotFound(h.client.Get(t.Context(), h.key("acme"), monitor())) &&
			apierrors.IsNotFound(h.client.Get(t.Context(), h.key("acme"), &networkingv1.Ingress{}))
	})
}
