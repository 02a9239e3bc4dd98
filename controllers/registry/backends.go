package registry

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/conditions"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
	"github.com/crateyard/crateyard/registry/wire"
)

// storageReady says whether crate files can be kept: on the volume, if there is one, and in the bucket.
func storageReady(r *v1alpha1.Registry, f facts) *metav1.Condition {
	const typ = v1alpha1.StorageReadyCondition
	if missing := f.missing[typ]; missing.reason != "" {
		return condition(conditions.False(typ, missing.reason, missing.message))
	}
	var volume *metav1.Condition
	if needsVolume(r) {
		volume = volumeReady(r, f)
		if volume == nil || volume.Status != metav1.ConditionTrue {
			return volume
		}
	}
	if said := f.trouble(storagePart); said != "" {
		return condition(conditions.False(typ, v1alpha1.ReasonStorageUnavailable, join("the server cannot use its storage", said)))
	}
	s3 := r.Spec.Storage.S3
	if s3 == nil {
		return volume
	}
	return unlessUnknown(r, f, typ, "the server can use bucket "+s3.Bucket)
}

// catalogReady says whether the server can use its database.
func catalogReady(r *v1alpha1.Registry, f facts) *metav1.Condition {
	const typ = v1alpha1.CatalogReadyCondition
	if missing := f.missing[typ]; missing.reason != "" {
		return condition(conditions.False(typ, missing.reason, missing.message))
	}
	if said := f.trouble(catalogPart); said != "" {
		return condition(conditions.False(typ, v1alpha1.ReasonCatalogUnavailable, join("the server cannot use its database", said)))
	}
	if r.Spec.Catalog.Postgres == nil {
		return unlessUnknown(r, f, typ, "the server can use SQLite on its volume")
	}
	return unlessUnknown(r, f, typ, "the server can use its PostgreSQL database")
}

// unlessUnknown says that a backend works, once a server was asked. Nil: this reconcile did not come so far.
func unlessUnknown(r *v1alpha1.Registry, f facts, typ, works string) *metav1.Condition {
	switch {
	case f.server != nil:
		return condition(conditions.True(typ, v1alpha1.ReasonAvailable, works))
	case !f.applied:
		return nil
	case replicas(r) == 0:
		return condition(conditions.Unknown(typ, v1alpha1.ReasonStopped, "no server says, since spec.replicas is 0"))
	}
	return condition(conditions.Unknown(typ, v1alpha1.ReasonUnknown, "no server has said yet"))
}

// maxSaid bounds what a condition repeats of a server, in bytes.
const maxSaid = 500

// trouble is what servers say of a part of theirs that does not work; empty when it does.
func (f facts) trouble(part string) string {
	if said := f.troubles[part]; said != "" {
		return said
	}
	if f.server == nil {
		return ""
	}
	backend := map[string]*wire.Backend{catalogPart: f.server.Catalog, storagePart: f.server.Storage}[part]
	if backend == nil || backend.Ready {
		return ""
	}
	if backend.Message == "" {
		return fmt.Sprintf("%s does not work", backend.Backend)
	}
	return outcome.Clip(outcome.Message(backend.Message), maxSaid)
}

func condition(c metav1.Condition) *metav1.Condition { return &c }
