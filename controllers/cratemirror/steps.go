package cratemirror

import (
	"context"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
	"github.com/crateyard/crateyard/controllers/internal/parent"
	"github.com/crateyard/crateyard/controllers/internal/watch"
	api "github.com/crateyard/crateyard/registry/client"
)

// reservedName is what cargo calls crates.io.
const reservedName = "crates-io"

// validate stands behind the schema, for objects that were stored under an older one.
func (s *scope) validate(context.Context) error {
	spec := &s.mirror.Spec
	name := s.mirror.MirrorName()
	switch problems := validation.IsDNS1123Label(name); {
	case name == reservedName:
		return outcome.Stall(v1alpha1.ReasonInvalidSpec, "cargo calls crates.io itself %s, and could not tell a mirror of that name from it; make this CrateMirror under another name, or with another spec.name", name)
	case len(problems) > 0:
		return outcome.Stall(v1alpha1.ReasonInvalidSpec, "%s cannot be the name of a mirror: %s; make this CrateMirror under another name, or with another spec.name", name, strings.Join(problems, "; "))
	case spec.Mode == v1alpha1.MirrorPinned && spec.Crates == nil && len(spec.Lockfiles) == 0:
		return outcome.Stall(v1alpha1.ReasonInvalidSpec, "a mirror with mode Pinned serves only what is cached, so it needs spec.crates or spec.lockfiles; where a bundle is imported instead, say so with crates: []")
	case spec.Upstream.CASecretRef != nil && spec.Upstream.CAConfigMapRef != nil:
		return outcome.Stall(v1alpha1.ReasonInvalidSpec, "the certificates come from spec.upstream.caSecretRef or from spec.upstream.caConfigMapRef; remove one of them")
	}
	if _, err := wireSpec(spec, ""); err != nil {
		return outcome.Stall(v1alpha1.ReasonInvalidSpec, "%v", err)
	}
	return nil
}

// findRegistry finds the Registry and makes a client for it.
func (s *scope) findRegistry(ctx context.Context) (err error) {
	find := parent.Finder{Client: s.Client, Version: s.Version, Address: s.Address}
	s.registry, s.server, err = find.Find(ctx, "CrateMirror", s.mirror.Namespace, s.mirror.Spec.RegistryRef.Name)
	return err
}

// claimName makes sure that no other CrateMirror stands for the same mirror, and notes with a finalizer that this one does:
// an object without it never made or changed a mirror, and leaves none behind.
func (s *scope) claimName(ctx context.Context) error {
	other, err := s.claims.Claim(ctx, s.mirror, parent.Name{
		Cache: s.Client, Live: s.Live, Finalizer: names.MirrorFinalizer,
		All: &v1alpha1.CrateMirrorList{}, Cached: client.MatchingFields{watch.MirrorsByRegistry: s.registry.Name},
		Same: func(o client.Object) bool {
			other, ok := o.(*v1alpha1.CrateMirror)
			return ok && other.MirrorName() == s.mirror.MirrorName() && other.Spec.RegistryRef.Name == s.registry.Name
		},
	})
	if err != nil {
		return err
	}
	if other != nil {
		return outcome.Stall(v1alpha1.ReasonMirrorNameTaken, "CrateMirror %s already stands for mirror %s of Registry %s; delete one of the two, or make this one with another spec.name", other.GetName(), s.mirror.MirrorName(), s.registry.Name)
	}
	s.facts.registryReady = true
	return nil
}

// conclude ends a reconcile that brought about all but what was refused or is missing.
func (s *scope) conclude(context.Context) error {
	switch f := &s.facts; {
	case len(f.refused) > 0:
		goesOn := ""
		if f.live != nil {
			goesOn = "; the spec from before stays in effect"
		}
		return outcome.Stall(f.refused.reason(), "the registry refuses the spec: %s%s", f.refused, goesOn)
	case f.missing.reason != "":
		return outcome.WaitFor(pollReady, f.missing.reason, "%s", f.missing.message) // a watch tells sooner
	}
	return nil
}

// finalize leaves the mirror at the registry, or removes it, as the spec says. Where the registry is gone nobody can be asked.
func (s *scope) finalize(ctx context.Context) error {
	if !controllerutil.ContainsFinalizer(s.mirror, names.MirrorFinalizer) {
		return nil
	}
	if s.mirror.Spec.DeletionPolicy != v1alpha1.DeletionDelete {
		return s.release(ctx)
	}
	err := s.findRegistry(ctx)
	if parent.Gone(s.registry, err) {
		return s.release(ctx)
	}
	if err == nil {
		err = s.deleteMirror(ctx)
	}
	if wait, ok := outcome.IsWait(err); ok {
		return outcome.WaitFor(wait.After, wait.Reason, "the deletion waits until mirror %s can be removed: %s. To go on without that, set spec.deletionPolicy to Retain: the mirror then stays at the registry, with all that it cached", s.mirror.MirrorName(), wait.Message)
	}
	if err != nil {
		return err
	}
	return s.release(ctx)
}

// deleteMirror removes the mirror at the registry. One that is gone already is as good.
func (s *scope) deleteMirror(ctx context.Context) error {
	name := s.mirror.MirrorName()
	if err := s.server.DeleteMirror(ctx, name); err != nil && !api.IsNotFound(err) {
		return parent.FromServer(err, "deleting mirror "+name)
	}
	s.apply.Say(s.mirror, "DeletedMirror", "Deleted mirror %s with all that it cached", name)
	return nil
}

func (s *scope) release(ctx context.Context) error {
	s.applied.Delete(s.mirror.UID)
	was := s.mirror.DeepCopy()
	controllerutil.RemoveFinalizer(s.mirror, names.MirrorFinalizer)
	// Locked, because a merge patch replaces the whole list, and another controller may have added to it.
	patch := client.MergeFromWithOptions(was, client.MergeFromWithOptimisticLock{})
	return client.IgnoreNotFound(s.Client.Patch(ctx, s.mirror, patch, client.FieldOwner(names.FieldOwner)))
}
