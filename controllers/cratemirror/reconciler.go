package cratemirror

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/apply"
	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
	"github.com/crateyard/crateyard/controllers/internal/parent"
	"github.com/crateyard/crateyard/controllers/internal/schedule"
	api "github.com/crateyard/crateyard/registry/client"
)

// +kubebuilder:rbac:groups=crateyard.dev,resources=cratemirrors,verbs=list;patch;watch
// +kubebuilder:rbac:groups=crateyard.dev,resources=cratemirrors/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=configmaps;secrets,verbs=get;list;watch

// How often a CrateMirror is looked at when no watch asks for it.
const (
	pollAsking  = 3 * time.Second  // whether upstream has given its first word
	pollSyncing = 10 * time.Second // how far a sync is, and whether what is missing for any answer has come
	pollReady   = time.Minute      // what is cached, and whether upstream answers
	pollStalled = 5 * time.Minute
	afterNext   = 5 * time.Second // how long after its time a scheduled sync runs for certain; servers look every few seconds
)

// Reconciler brings CrateMirror objects about.
type Reconciler struct {
	Client  client.Client // reads from the cache
	Live    client.Reader // reads from the API server
	Events  events.EventRecorder
	Version string // of the operator, for the User-Agent
	// Address gives where the operator reaches a Registry's server. Nil: its Service.
	Address func(*v1alpha1.Registry) string
	// Metadata tells of changes to Secrets and ConfigMaps of others. Nil: nobody does, and they are looked at now and then.
	Metadata cache.Cache
	// Now is the clock. Nil: time.Now.
	Now func() time.Time

	claims parent.Claims // of names at a Registry

	applied sync.Map // of applied, by the UID of a CrateMirror
}

// scope is one reconcile: the object, and what the steps saw.
type scope struct {
	*Reconciler
	mirror   *v1alpha1.CrateMirror
	apply    *apply.Applier
	registry *v1alpha1.Registry
	server   *api.Client
	refs     references
	facts    facts
}

// step is one part of a reconcile. The first that returns an error ends it.
type step func(*scope, context.Context) error

var steps = []step{
	(*scope).validate,
	(*scope).findRegistry,
	(*scope).claimName,
	(*scope).readReferences,
	(*scope).ensureMirror,
	(*scope).ensureLockfiles,
	(*scope).requestSync,
	(*scope).observe,
	(*scope).conclude,
}

// Reconcile brings one CrateMirror closer to its spec.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (result ctrl.Result, err error) {
	mirror := &v1alpha1.CrateMirror{}
	if err := r.Client.Get(ctx, req.NamespacedName, mirror); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	s := &scope{Reconciler: r, mirror: mirror, apply: &apply.Applier{Client: r.Client, Live: r.Live, Events: r.Events, Log: logf.FromContext(ctx)}}
	before := mirror.DeepCopy()
	defer func() {
		if mirror.DeletionTimestamp == nil || controllerutil.ContainsFinalizer(mirror, names.MirrorFinalizer) {
			mirror.Status = status(mirror, s.facts, err, r.now())
			s.apply.Warn(mirror, before.Status.Conditions, mirror.Status.Conditions)
			s.tell(before)
			if perr := r.writeStatus(ctx, before, mirror); perr != nil && err == nil {
				err = perr
			}
		}
		result, err = r.after(s, err)
	}()
	if mirror.DeletionTimestamp != nil {
		return ctrl.Result{}, s.finalize(ctx)
	}
	for _, step := range steps {
		if err := step(s, ctx); err != nil {
			return ctrl.Result{}, err
		}
	}
	return ctrl.Result{}, nil
}

// writeStatus patches the status if it differs.
func (r *Reconciler) writeStatus(ctx context.Context, before, after *v1alpha1.CrateMirror) error {
	if equality.Semantic.DeepEqual(before.Status, after.Status) {
		return nil
	}
	was := after.DeepCopy() // with the finalizer, which a step may have added
	was.Status = before.Status
	return client.IgnoreNotFound(r.Client.Status().Patch(ctx, after, client.MergeFrom(was), client.FieldOwner(names.FieldOwner)))
}

// after decides when to look again. It is the one place that knows what each outcome means for the queue.
func (r *Reconciler) after(s *scope, err error) (ctrl.Result, error) {
	poll := pollReady
	if _, ok := outcome.IsStalled(err); ok {
		poll = pollStalled
	} else if wait, ok := outcome.IsWait(err); ok {
		if s.facts.live == nil {
			return ctrl.Result{RequeueAfter: wait.After}, nil
		}
	} else if err != nil {
		return ctrl.Result{}, fmt.Errorf("%s", outcome.Message(err.Error()))
	}
	if s.mirror.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	if s.facts.live != nil {
		poll = min(poll, soon(s))
	}
	result := schedule.In(poll)
	if next := s.mirror.Status.Sync.NextAt; s.facts.live != nil && next != nil {
		if in := next.Sub(r.now()) + afterNext; in > 0 && in < result.RequeueAfter { // what is over, and did not come, comes no sooner for being looked for
			result.RequeueAfter = max(in, time.Second)
		}
	}
	return result, nil
}

// soon is when to look again at what is about to change at the registry, or keeps a mirror from giving anything out.
func soon(s *scope) time.Duration {
	live, up := s.facts.live, meta.FindStatusCondition(s.mirror.Status.Conditions, v1alpha1.UpstreamReadyCondition)
	switch {
	case up != nil && up.Reason == v1alpha1.ReasonAskingUpstream:
		return pollAsking
	case syncing(live), live.Unadvised(), up != nil && up.Reason == v1alpha1.ReasonUpstreamUnreachable && givesNothing(live):
		return pollSyncing
	}
	return pollReady
}

func (r *Reconciler) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

var _ reconcile.Reconciler = (*Reconciler)(nil)
