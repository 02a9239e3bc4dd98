package registryuser

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
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

// +kubebuilder:rbac:groups=crateyard.dev,resources=registryusers,verbs=list;patch;watch
// +kubebuilder:rbac:groups=crateyard.dev,resources=registryusers/finalizers,verbs=update
// +kubebuilder:rbac:groups=crateyard.dev,resources=registryusers/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=delete;get;list;patch;watch

// How often a RegistryUser is looked at when no watch and no rotation asks for it.
const (
	pollReady   = 5 * time.Minute  // whether the registry still knows user and tokens
	pollWaiting = 10 * time.Second // a registry that restarts
	pollStalled = 5 * time.Minute
)

// Reconciler brings RegistryUser objects about.
type Reconciler struct {
	Client  client.Client // reads from the cache
	Live    client.Reader // reads from the API server
	Events  events.EventRecorder
	Version string // of the operator, for the User-Agent
	// Address gives where the operator reaches a Registry's server. Nil: its Service.
	Address func(*v1alpha1.Registry) string
	// Now is the clock. Nil: time.Now.
	Now func() time.Time

	claims parent.Claims // of names at a Registry
}

// scope is one reconcile: the object, and what the steps saw.
type scope struct {
	*Reconciler
	user     *v1alpha1.RegistryUser
	apply    *apply.Applier
	owner    apply.Owner
	registry *v1alpha1.Registry
	server   *api.Client
	facts    facts
}

// step is one part of a reconcile. The first that returns an error ends it.
type step func(*scope, context.Context) error

var steps = []step{
	(*scope).validate,
	(*scope).findRegistry,
	(*scope).claimName,
	(*scope).ensureUser,
	(*scope).ensureTokens,
	(*scope).dropOtherSecrets,
}

// Reconcile brings one RegistryUser closer to its spec.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (result ctrl.Result, err error) {
	user := &v1alpha1.RegistryUser{}
	if err := r.Client.Get(ctx, req.NamespacedName, user); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	s := r.scope(ctx, user)
	before := user.DeepCopy()
	defer func() {
		if user.DeletionTimestamp == nil || controllerutil.ContainsFinalizer(user, names.UserFinalizer) {
			user.Status = status(user, s.facts, err, r.now())
			s.apply.Warn(user, before.Status.Conditions, user.Status.Conditions)
			if perr := r.writeStatus(ctx, before, user); perr != nil && err == nil {
				err = perr
			}
		}
		result, err = r.after(s, err)
	}()
	if user.DeletionTimestamp != nil {
		return ctrl.Result{}, s.finalize(ctx)
	}
	for _, step := range steps {
		if err := step(s, ctx); err != nil {
			return ctrl.Result{}, err
		}
	}
	return ctrl.Result{}, nil
}

func (r *Reconciler) scope(ctx context.Context, user *v1alpha1.RegistryUser) *scope {
	return &scope{
		Reconciler: r,
		user:       user,
		apply:      &apply.Applier{Client: r.Client, Live: r.Live, Events: r.Events, Log: logf.FromContext(ctx)},
		owner:      apply.Owner{Object: user, Kind: "RegistryUser", Label: names.UserLabel, Instead: "name another Secret in spec.tokens[].secretName"},
	}
}

// writeStatus patches the status if it differs.
func (r *Reconciler) writeStatus(ctx context.Context, before, after *v1alpha1.RegistryUser) error {
	if equality.Semantic.DeepEqual(before.Status, after.Status) {
		return nil
	}
	was := after.DeepCopy() // with the finalizer, which a step may have added
	was.Status = before.Status
	return client.IgnoreNotFound(r.Client.Status().Patch(ctx, after, client.MergeFrom(was), client.FieldOwner(names.FieldOwner)))
}

// after decides when to look again. It is the one place that knows what each outcome means for the queue.
func (r *Reconciler) after(s *scope, err error) (ctrl.Result, error) {
	if _, ok := outcome.IsStalled(err); ok {
		return schedule.In(pollStalled), nil
	}
	if wait, ok := outcome.IsWait(err); ok {
		return ctrl.Result{RequeueAfter: wait.After}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("%s", outcome.Message(err.Error()))
	}
	if s.user.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	result := schedule.In(pollReady)
	if next := s.facts.next; !next.IsZero() {
		if in := max(next.Sub(r.now()), time.Second); in < result.RequeueAfter {
			result.RequeueAfter = in
		}
	}
	return result, nil
}

func (r *Reconciler) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

var _ reconcile.Reconciler = (*Reconciler)(nil)
