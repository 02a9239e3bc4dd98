package controllers_test

import (
	"os"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"github.com/crateyard/crateyard/api/v1alpha1"
)

// Whatever a Registry says, with defaults of the API server in every child: what is as it should be is not written again.
func TestSecondReconcileOfSamplesWritesNothing(t *testing.T) {
	newHarness(t).installServiceMonitors()
	ca := map[string]string{"ca.crt": "certificate"}
	for _, name := range []string{"registry", "registry_private", "registry_full", "registry_production", "registry_restore"} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			text, err := os.ReadFile("../config/samples/" + name + ".yaml")
			h.must(err)
			r := &v1alpha1.Registry{}
			h.must(yaml.UnmarshalStrict(text, r))
			r.Namespace = h.ns
			h.must(h.client.Create(t.Context(), r))
			for secret, content := range map[string]map[string]string{ // as the samples' comments say
				"pg-app": pgSecret, "pg-restored-app": pgSecret, "pg-ca": ca, "s3-ca": ca, "s3": s3Secret, "s3-backup": s3Secret,
			} {
				h.putSecret(secret, content)
			}
			h.urls[r.Name] = "http://127.0.0.1:1"
			h.registry(r.Name)
			h.registry(r.Name) // what waits for another object that was made
			h.said()
			get(h, r.Name, &appsv1.Deployment{}) // the last of the children
			before := h.writes.Load()
			if before == 0 {
				t.Fatal("nothing was made")
			}
			for range 3 {
				h.registry(r.Name)
			}
			if n := h.writes.Load() - before; n != 0 {
				t.Errorf("reconciling it again wrote %d times; events:\n%s", n, h.said())
			}
		})
	}
}
