// Package departed remembers users that went while their Registry was away. A RegistryUser that is deleted when there is no Registry can remove
// its user nowhere, and a Registry that is made again over the data of an earlier one would bring the user back. So the name is noted on
// what outlives a Registry, its admin Secret, and the Registry that finds the note removes the user. Where that Secret goes with its
// Registry (deletionPolicy Delete), so does the volume. A catalog in PostgreSQL does not: nothing is remembered then, the users stay in it, and the
// Registry that finds their tokens revokes those and tells of the users.
package departed

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
)

// maxNote bounds the note, in bytes: the API server takes 256 KiB for all annotations of an object.
const maxNote = 128 << 10

// Users are the names that are noted on an admin Secret. They hold no comma.
func Users(secret metav1.Object) []string {
	return strings.FieldsFunc(secret.GetAnnotations()[names.DepartedUsersAnnotation], func(r rune) bool { return r == ',' })
}

// Add notes a user for a Registry that is gone. It notes nothing where no admin Secret of the Registry is left.
func Add(ctx context.Context, c client.Client, live client.Reader, namespace, registry, user string) error {
	return change(ctx, c, live, namespace, registry, func(users []string) []string {
		if slices.Contains(users, user) {
			return users
		}
		return append(users, user)
	})
}

// Forget takes a user off the note: it is removed, or a RegistryUser stands for it again.
func Forget(ctx context.Context, c client.Client, live client.Reader, namespace, registry, user string) error {
	return change(ctx, c, live, namespace, registry, func(users []string) []string {
		return slices.DeleteFunc(users, func(u string) bool { return u == user })
	})
}

// Live reads the note as it is now, not as a cache has it.
func Live(ctx context.Context, live client.Reader, namespace, registry string) ([]string, error) {
	secret, err := adminSecret(ctx, live, namespace, registry)
	if secret == nil || err != nil {
		return nil, err
	}
	return Users(secret), nil
}

func change(ctx context.Context, c client.Client, live client.Reader, namespace, registry string, to func([]string) []string) error {
	secret, err := adminSecret(ctx, live, namespace, registry)
	if secret == nil || err != nil {
		return err
	}
	was := secret.DeepCopy()
	note := strings.Join(to(Users(secret)), ",")
	switch {
	case note == was.Annotations[names.DepartedUsersAnnotation], len(note) > maxNote:
		return nil
	case note == "":
		delete(secret.Annotations, names.DepartedUsersAnnotation)
	default:
		metav1.SetMetaDataAnnotation(&secret.ObjectMeta, names.DepartedUsersAnnotation, note)
	}
	patch := client.MergeFromWithOptions(was, client.MergeFromWithOptimisticLock{}) // two of them may note at once
	err = c.Patch(ctx, secret, patch, client.FieldOwner(names.FieldOwner))
	return outcome.FromAPI(client.IgnoreNotFound(err), "noting the users that went, on Secret %s", secret.Name)
}

// adminSecret reads the admin Secret of a Registry, which may be gone; nil when there is none, or one that somebody else made.
func adminSecret(ctx context.Context, live client.Reader, namespace, registry string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: namespace, Name: names.AdminSecret(registry)}
	err := live.Get(ctx, key, secret)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, outcome.FromAPI(err, "reading Secret %s", key.Name)
	case secret.Labels[names.RegistryLabel] != registry && secret.Annotations[names.RegistryUIDAnnotation] == "":
		return nil, nil
	}
	return secret, nil
}
