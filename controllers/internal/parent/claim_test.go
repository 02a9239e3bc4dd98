package parent

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crateyard/crateyard/api/v1alpha1"
)

func TestWhoGoesFirst(t *testing.T) {
	n := Name{Finalizer: "one"}
	object := func(name string, second int64, finalizers ...string) *v1alpha1.RegistryUser {
		return &v1alpha1.RegistryUser{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(time.Unix(second, 0)), Finalizers: finalizers}}
	}
	order := []*v1alpha1.RegistryUser{
		object("z", 3, "other", "one"), // it acted
		object("y", 4, "one"),          // two that acted, before there were claims
		object("b", 1), object("a", 2), // the older
		object("c", 2, "other"), // in the same second
	}
	for i, a := range order {
		for j, b := range order {
			if got := n.goesBefore(a, b); got != (i < j) {
				t.Errorf("%s before %s: %v", a.Name, b.Name, got)
			}
		}
	}
}
