package apply

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// What sets an object back is meant for that object, and not for one that came in its place.
func TestResetPatchNamesItsObject(t *testing.T) {
	for _, tt := range []struct{ live, intent, want string }{
		{"{metadata: {uid: u}, spec: {a: 2, b: 1}}", "{metadata: {name: x}, spec: {a: 1, b: 1}}", `{"metadata":{"uid":"u"},"spec":{"a":1}}`},
		{"{metadata: {uid: u}, spec: {a: 1}}", "{metadata: {name: x}, spec: {a: 1}}", ""},
	} {
		got, err := resetPatch(&unstructured.Unstructured{Object: parse(t, tt.live)}, &unstructured.Unstructured{Object: parse(t, tt.intent)})
		if err != nil || string(got) != tt.want {
			t.Errorf("the patch of %s is %s, %v; want %s", tt.live, got, err, tt.want)
		}
	}
}
