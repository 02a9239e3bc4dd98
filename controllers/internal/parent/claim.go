package parent

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
)

// Claims has one object act of those that stand for the same thing at a Registry: a user, or a mirror. Which one that is, a finalizer notes before it
// acts: whoever has it keeps the thing until it is deleted, and one without it never made or changed anything, and leaves nothing behind. Of several
// that have not acted the oldest may.
//
// Creation times count in seconds and a cache lags behind, so objects that were made together are told apart by what the API server has, one at a time;
// that there is one operator at work is what its election is for.
type Claims struct{ mu sync.Mutex }

// Name is what an object claims.
type Name struct {
	Cache     client.Client
	Live      client.Reader
	Finalizer string
	All       client.ObjectList        // of the object's kind; it is filled
	Cached    client.ListOption        // narrows what is read of the cache
	Same      func(client.Object) bool // whether an object of the namespace stands for the same thing
}

// Claim gives the object that stands in the way of self, or nil when self may act; then it has the finalizer.
func (c *Claims) Claim(ctx context.Context, self client.Object, n Name) (client.Object, error) {
	if controllerutil.ContainsFinalizer(self, n.Finalizer) {
		return n.before(ctx, n.Cache, self, n.Cached)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if other, err := n.before(ctx, n.Live, self); other != nil || err != nil {
		return other, err
	}
	was := self.DeepCopyObject().(client.Object)
	controllerutil.AddFinalizer(self, n.Finalizer)
	patch := client.MergeFromWithOptions(was, client.MergeFromWithOptimisticLock{})
	return nil, outcome.FromAPI(n.Cache.Patch(ctx, self, patch, client.FieldOwner(names.FieldOwner)), "adding the finalizer")
}

// before finds the object that goes first, if that is not self.
func (n Name) before(ctx context.Context, from client.Reader, self client.Object, narrow ...client.ListOption) (first client.Object, err error) {
	if err := from.List(ctx, n.All, append(narrow, client.InNamespace(self.GetNamespace()))...); err != nil {
		return nil, outcome.FromAPI(err, "listing those of the same name")
	}
	// self is in the list, too, and may have acted already where the cache does not know it yet: then the patch is refused, and it is looked at again.
	err = meta.EachListItem(n.All, func(item runtime.Object) error {
		if o := item.(client.Object); (o.GetUID() == self.GetUID() || n.Same(o)) && (first == nil || n.goesBefore(o, first)) {
			first = o
		}
		return nil
	})
	if first == nil || first.GetUID() == self.GetUID() {
		return nil, err
	}
	return first, err
}

// goesBefore tells of two that cannot both act which one may.
func (n Name) goesBefore(a, b client.Object) bool {
	if has, other := controllerutil.ContainsFinalizer(a, n.Finalizer), controllerutil.ContainsFinalizer(b, n.Finalizer); has != other {
		return has
	}
	ta, tb := a.GetCreationTimestamp(), b.GetCreationTimestamp()
	if !ta.Equal(&tb) {
		return ta.Before(&tb)
	}
	return a.GetName() < b.GetName()
}
