package registry

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
)

// keepData takes this Registry from the owners of what holds data, unless its spec says that the data goes with it. It comes before all that a reconcile
// may stop at, and holds while the Registry is paused: who deletes a Registry that stalls shall not lose what the spec says is kept.
func (s *scope) keepData(ctx context.Context) error {
	if s.registry.Spec.DeletionPolicy == v1alpha1.DeletionDelete {
		return nil // applyChildren makes it the owner
	}
	for obj, name := range map[client.Object]string{&corev1.PersistentVolumeClaim{}: names.Data(s.registry.Name), &corev1.Secret{}: names.AdminSecret(s.registry.Name)} {
		err := s.Client.Get(ctx, s.key(name), obj)
		if apierrors.IsNotFound(err) && s.registry.Status.AdminTokenSecretName != "" { // the cache has what carries our labels, which somebody may have taken off
			err = s.Live.Get(ctx, s.key(name), obj)
		}
		if apierrors.IsNotFound(err) || err == nil && !metav1.IsControlledBy(obj, s.registry) {
			continue
		}
		if err != nil {
			return outcome.FromAPI(err, "reading %s", name)
		}
		was := obj.DeepCopyObject().(client.Object)
		obj.SetOwnerReferences(slices.DeleteFunc(obj.GetOwnerReferences(), func(o metav1.OwnerReference) bool { return o.UID == s.registry.UID }))
		patch := client.MergeFromWithOptions(was, client.MergeFromWithOptimisticLock{}) // it replaces the whole list
		if err := s.Client.Patch(ctx, obj, patch, client.FieldOwner(names.FieldOwner)); err != nil {
			return outcome.FromAPI(err, "keeping %s beyond this Registry", name)
		}
	}
	return nil
}
