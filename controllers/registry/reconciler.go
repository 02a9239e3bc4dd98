package registry

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/apply"
	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
	"github.com/crateyard/crateyard/controllers/internal/schedule"
)

// What is read from the cache alone needs no get. The finalizers are for owner references that block the owner's deletion, and delete on
// persistentvolumeclaims for a change of spec.deletionPolicy, which gives the volume an owner or takes it: a cluster with the admission plugin
// OwnerReferencesPermissionEnforcement asks for both. The operator itself deletes no volume.

// +kubebuilder:rbac:groups=crateyard.dev,resources=registries,verbs=list;watch
// +kubebuilder:rbac:groups=crateyard.dev,resources=registries/finalizers,verbs=update
// +kubebuilder:rbac:groups=crateyard.dev,resources=registries/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=configmaps;secrets;serviceaccounts;services,verbs=create;get;list;patch;watch
// +kubebuilder:rbac:groups="",resources=persistentvolumeclaims,verbs=create;delete;get;list;patch;watch
// +kubebuilder:rbac:groups="",resources=events,verbs=list
// +kubebuilder:rbac:groups="",resources=pods,verbs=list;watch
// +kubebuilder:rbac:groups=apps,resources=deployments,verbs=create;get;list;patch;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=monitoring.coreos.com,resources=servicemonitors,verbs=create;delete;get;list;patch;watch
// +kubebuilder:rbac:groups=networking.k8s.io,resources=ingresses,verbs=create;delete;get;list;patch;watch
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=create;delete;get;list;patch;watch
// +kubebuilder:rbac:groups=storage.k8s.io,resources=storageclasses,verbs=get;list

// How often a Registry is looked at when no watch asks for it.
const (
	pollReady   = 15 * time.Second // its version and counts, and how its database and bucket are
	pollTrying  = 10 * time.Second // a server that does not answer yet
	pollFresh   = time.Second      // the same, while its Service may just not have reached all nodes
	fresh       = 30 * time.Second // how long after its pod became ready that is likely
	pollStalled = 5 * time.Minute  // in case what it stalls on has no watch
)

// Reconciler brings Registry objects about.
type Reconciler struct {
	Client client.Client // reads from the cache
	Live   client.Reader // reads from the API server
	Events events.EventRecorder
	// Image to deploy where a Registry names none.
	Image string
	// Version of the operator, for the User-Agent.
	Version string
	// Address gives where the operator reaches a Registry's server. Nil: its Service.
	Address func(*v1alpha1.Registry) string
	// Now is the clock. Nil: time.Now.
	Now func() time.Time

	// OpsAddress gives where the operator asks a pod that is not ready why, as host:port. Nil: the pod's own address.
	OpsAddress func(*corev1.Pod) string
	// Metadata tells of changes to Secrets of others. Nil: nobody does, and they are looked at now and then.
	Metadata cache.Cache

	monitors lateWatch // of ServiceMonitors
	altered  apply.Altered
}

// scope is one reconcile: the object, and what the steps saw.
type scope struct {
	*Reconciler
	registry *v1alpha1.Registry
	apply    *apply.Applier
	owner    apply.Owner
	deployed client.Reader // knows the Deployment as it was applied
	facts    facts
}

// step is one part of a reconcile. The first that returns an error ends it.
type step func(*scope, context.Context) error

var steps = []step{
	(*scope).validate,
	(*scope).observeVolume,
	(*scope).ensureAdminToken,
	(*scope).observeSecrets,
	(*scope).applyChildren,
	(*scope).prune,
	(*scope).observeWorkload,
	(*scope).observeIngress,
	(*scope).finishRestore,
	(*scope).askServer,
	(*scope).askPods,
	(*scope).removeDeparted,
}

// Reconcile brings one Registry closer to its spec.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (result ctrl.Result, err error) {
	registry := &v1alpha1.Registry{}
	if err := r.Client.Get(ctx, req.NamespacedName, registry); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if registry.DeletionTimestamp != nil {
		return ctrl.Result{}, nil // children go with their owner; what holds data stays or goes by its owner references
	}
	s := r.scope(ctx, registry)
	before := registry.DeepCopy()
	defer func() {
		registry.Status = status(registry, s.facts, err, r.now())
		s.apply.Warn(registry, before.Status.Conditions, registry.Status.Conditions)
		if perr := r.writeStatus(ctx, before, registry); perr == nil {
			s.tell(before) // what is not written down would be told again
		} else if err == nil {
			err = perr
		}
		result, err = r.after(registry, err)
	}()
	if err := s.keepData(ctx); err != nil {
		return ctrl.Result{}, err
	}
	if registry.Spec.Reconciliation == v1alpha1.Disabled {
		s.facts.paused = true
		return ctrl.Result{}, nil
	}
	for _, step := range steps {
		if err := step(s, ctx); err != nil {
			return ctrl.Result{}, err
		}
	}
	return ctrl.Result{}, nil
}

func (r *Reconciler) scope(ctx context.Context, registry *v1alpha1.Registry) *scope {
	return &scope{
		Reconciler: r,
		registry:   registry,
		apply:      &apply.Applier{Client: r.Client, Live: r.Live, Events: r.Events, Log: logf.FromContext(ctx), Altered: &r.altered},
		deployed:   r.Client,
		owner:      apply.Owner{Object: registry, Kind: "Registry", Label: names.RegistryLabel, Instead: "give this Registry another name"},
	}
}

// writeStatus patches the status if it differs.
func (r *Reconciler) writeStatus(ctx context.Context, before, after *v1alpha1.Registry) error {
	if equality.Semantic.DeepEqual(before.Status, after.Status) {
		return nil
	}
	err := r.Client.Status().Patch(ctx, after, client.MergeFrom(before), client.FieldOwner(names.FieldOwner))
	return client.IgnoreNotFound(err)
}

// after decides when to look again. It is the one place that knows what each outcome means for the queue.
func (r *Reconciler) after(registry *v1alpha1.Registry, err error) (ctrl.Result, error) {
	if _, ok := outcome.IsStalled(err); ok {
		return schedule.In(pollStalled), nil
	}
	if wait, ok := outcome.IsWait(err); ok {
		return ctrl.Result{RequeueAfter: wait.After}, nil
	}
	switch {
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("%s", outcome.Message(err.Error()))
	case registry.Spec.Reconciliation == v1alpha1.Disabled || replicas(registry) == 0:
		return ctrl.Result{}, nil
	case isReady(registry):
		return schedule.In(pollReady), nil
	}
	if c := meta.FindStatusCondition(registry.Status.Conditions, v1alpha1.WorkloadReadyCondition); c != nil &&
		c.Status == metav1.ConditionTrue && r.now().Sub(c.LastTransitionTime.Time) < fresh {
		return schedule.In(pollFresh), nil
	}
	return schedule.In(pollTrying), nil
}

func (r *Reconciler) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

var _ reconcile.Reconciler = (*Reconciler)(nil)
