package apply

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// What alters a child may go, and nothing tells of that: so the child is applied again after a while.
func TestAlteredIsTriedAgain(t *testing.T) {
	live := &unstructured.Unstructured{Object: parse(t, "{metadata: {uid: u}, spec: {a: 2}}")}
	live.SetGeneration(2)
	intent := &unstructured.Unstructured{Object: parse(t, "{metadata: {name: x}, spec: {a: 1}}")}
	a := &Altered{}
	a.note(live, intent)
	if still, lately := a.is(live, intent); !still || !lately {
		t.Errorf("just applied: %v %v", still, lately)
	}
	seen, _ := a.seen.Load(live.GetUID())
	was := seen.(remembered)
	was.applied = was.applied.Add(-time.Hour)
	a.seen.Store(live.GetUID(), was)
	if still, lately := a.is(live, intent); !still || lately {
		t.Errorf("an hour later: %v %v", still, lately)
	}
}
