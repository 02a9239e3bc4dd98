// Package apply brings children to the cluster by server-side apply, under one field owner.
//
// An unchanged child costs no write: each carries a digest of what was applied last, and is left alone when the digest is the
// same and all that was applied still stands in the cached object, or what the cluster's own admission made of it. Before anything is written the object is read once more
// from the API server, since the cache may lag behind our own last write or, being filtered by label, not show an object of
// somebody else's; such an object is never touched.
package apply

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
)

// Applier applies and prunes children.
type Applier struct {
	Client client.Client // reads from the cache
	Live   client.Reader // reads from the API server
	Events events.EventRecorder
	// Log has a line for what is said or warned of, for who has the operator's log and not the events, which go after an hour.
	Log logr.Logger
	// Altered remembers what the cluster makes of children. Nil: nobody does, and they are applied each time.
	Altered *Altered
}

// Owner is the object whose children are applied.
type Owner struct {
	client.Object
	Kind string
	// Label is the label that children carry with the owner's name as value.
	Label string
	// Instead says what else to do when a child's name is taken, such as "give this Registry another name".
	Instead string
}

// Apply makes the cluster hold intent. It says in an event on the owner what it made or changed. fresh reports that the cache
// held it already; otherwise what the cache says of the object is out of date.
func (a *Applier) Apply(ctx context.Context, owner Owner, intent *unstructured.Unstructured) (fresh bool, err error) {
	what := intent.GetKind() + " " + intent.GetName()
	if err := stamp(intent); err != nil {
		return false, fmt.Errorf("%s: %w", what, err)
	}
	cached, err := a.get(ctx, a.Client, intent)
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", what, err)
	}
	if cached != nil {
		if _, lately := a.Altered.is(cached, intent); lately || upToDate(cached, intent) {
			return true, owner.Check(cached, what)
		}
	}
	live, err := a.get(ctx, a.Live, intent)
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", what, err)
	}
	if live != nil {
		if err := owner.Check(live, what); err != nil {
			return false, err
		}
		if upToDate(live, intent) {
			return false, nil
		}
	}
	var altered bool // as it will be again, unless what did it is gone
	if live != nil {
		altered, _ = a.Altered.is(live, intent)
	}
	now, err := a.apply(ctx, intent)
	if apierrors.IsInvalid(err) && live != nil && a.reset(ctx, live, intent) {
		now, err = a.apply(ctx, intent)
	}
	if err != nil {
		return false, refused(outcome.FromAPI(err, "applying %s", what), live, intent)
	}
	a.Altered.note(now, intent)
	if altered {
		altered, _ = a.Altered.is(now, intent)
	}
	switch {
	case altered: // nothing came of it
	case live == nil:
		a.Say(owner, "Created", "Created %s", what)
	case !firstStamp(live, intent) && now.GetResourceVersion() != live.GetResourceVersion():
		a.Say(owner, "Updated", "Updated %s%s", what, changes(live, intent))
	}
	return false, nil
}

// apply gives the object as it is then.
func (a *Applier) apply(ctx context.Context, intent *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	now := intent.DeepCopy()
	err := a.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(now), client.FieldOwner(names.FieldOwner), client.ForceOwnership)
	return now, err
}

// Delete removes a child, if it is there and the owner's.
func (a *Applier) Delete(ctx context.Context, owner Owner, obj client.Object, what string) error {
	uid := obj.GetUID()
	err := a.Client.Delete(ctx, obj, client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	if err != nil {
		return outcome.FromAPI(err, "deleting %s", what)
	}
	a.Say(owner, "Deleted", "Deleted %s, which is not wanted any more", what)
	return nil
}

// Say records an event on the owner, cleaned of secrets.
func (a *Applier) Say(owner client.Object, reason, format string, args ...any) {
	a.record(owner, corev1.EventTypeNormal, reason, fmt.Sprintf(format, args...))
}

// Alert records a warning on the owner, cleaned of secrets.
func (a *Applier) Alert(owner client.Object, reason, format string, args ...any) {
	a.record(owner, corev1.EventTypeWarning, reason, fmt.Sprintf(format, args...))
}

func (a *Applier) record(owner client.Object, kind, reason, text string) {
	text = outcome.Message(text)
	// Events of one object, reason and action count as one, of which the first text is shown; so the text is the action, too.
	action := text
	if len(action) > maxAction {
		action = strings.ToValidUTF8(action[:maxAction], "")
	}
	a.emit(owner, kind, reason, action, text)
}

func (a *Applier) emit(owner client.Object, kind, reason, action, text string) {
	a.Log.Info(text, "type", kind, "reason", reason)
	a.Events.Eventf(owner, nil, kind, reason, action, "%s", text)
}

// settling is how long what was just made, or made anew, may be about to work, such as a server that starts.
const settling = 30 * time.Second

// early are the reasons that nobody is warned of so soon. Where one holds on, the warning comes with the looks that follow.
var early = map[string]bool{v1alpha1.ReasonNotReady: true}

// Warn records a warning when Ready has become false for a reason that asks for somebody's attention.
func (a *Applier) Warn(owner client.Object, before, after []metav1.Condition) {
	is, was := meta.FindStatusCondition(after, v1alpha1.ReadyCondition), meta.FindStatusCondition(before, v1alpha1.ReadyCondition)
	if is == nil || is.Status != metav1.ConditionFalse || passing[is.Reason] {
		return
	}
	since := owner.GetCreationTimestamp().Time
	if is.LastTransitionTime.After(since) { // it worked until then
		since = is.LastTransitionTime.Time
	}
	age, same := time.Since(since), was != nil && was.Status == is.Status && was.Reason == is.Reason
	switch {
	case early[is.Reason] && age < settling:
		return
	case same && !(early[is.Reason] && age < 2*settling): // the same warning again counts as one
		return
	}
	a.emit(owner, corev1.EventTypeWarning, is.Reason, "Reconcile", outcome.Message(is.Message))
}

// passing are the reasons that go by themselves, or that the spec asks for.
var passing = map[string]bool{
	v1alpha1.ReasonProgressing: true, v1alpha1.ReasonProgressingWithRetry: true, v1alpha1.ReasonStarting: true, v1alpha1.ReasonUnknown: true,
	v1alpha1.ReasonStopped: true, v1alpha1.ReasonPaused: true, v1alpha1.ReasonVolumePending: true, v1alpha1.ReasonRegistryNotReady: true, v1alpha1.ReasonRestoring: true,
	v1alpha1.ReasonUnreachable: true, v1alpha1.ReasonUserSuspended: true,
	v1alpha1.ReasonSyncing: true, v1alpha1.ReasonReadingAdvisories: true, v1alpha1.ReasonAskingUpstream: true,
}

// maxAction is the most bytes of an event's action that the API server takes.
const maxAction = 128

// get reads what intent names; nil when there is none.
func (a *Applier) get(ctx context.Context, from client.Reader, intent *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	var obj client.Object = &unstructured.Unstructured{}
	obj.GetObjectKind().SetGroupVersionKind(intent.GroupVersionKind())
	if typed, err := a.Client.Scheme().New(intent.GroupVersionKind()); err == nil {
		obj = typed.(client.Object) // unstructured reads would need a cache of their own
	}
	err := from.Get(ctx, client.ObjectKeyFromObject(intent), obj)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	return &unstructured.Unstructured{Object: content}, err
}

// Check reports why live, which is what the cluster has under the name of a child, may not be touched.
func (o Owner) Check(live metav1.Object, what string) error {
	labelled := live.GetLabels()[names.ManagedByLabel] == names.ManagedBy && live.GetLabels()[o.Label] == o.GetName()
	by := metav1.GetControllerOf(live)
	mine := by != nil && by.UID == o.GetUID()
	// What holds data says whose it is in an annotation, too: it does not become a stranger's because somebody took its labels off.
	noted := by == nil && live.GetAnnotations()[names.RegistryUIDAnnotation] == string(o.GetUID())
	predecessors := labelled && by != nil && by.Kind == o.Kind && by.Name == o.GetName()
	switch {
	case !mine && !predecessors && !noted && (!labelled || by != nil):
		if strings.HasPrefix(what, "PersistentVolumeClaim ") { // somebody's data: nobody shall delete it because we say so
			return outcome.Stall(v1alpha1.ReasonNameTaken, "%s exists and does not belong to this %s; %s. If it holds this %s's data, give it the labels %s=%s and %s=%s",
				what, o.Kind, o.Instead, o.Kind, names.ManagedByLabel, names.ManagedBy, o.Label, o.GetName())
		}
		return outcome.Stall(v1alpha1.ReasonNameTaken, "%s exists and does not belong to this %s; delete or rename it, or %s", what, o.Kind, o.Instead)
	case live.GetDeletionTimestamp() != nil:
		return outcome.WaitFor(retrySoon, v1alpha1.ReasonProgressing, "%s is being deleted; it is made anew when it is gone", what)
	case predecessors && !mine:
		return outcome.WaitFor(retrySoon, v1alpha1.ReasonProgressing, "%s belongs to a deleted %s of the same name; it is made anew when it is gone", what, o.Kind)
	}
	return nil
}

// firstStamp reports whether all that applying intent adds is its digest: to an object that we made by other means, such as the
// admin Secret, which is created so that nobody's token is ever overwritten.
func firstStamp(live, intent *unstructured.Unstructured) bool {
	return live.GetAnnotations()[names.AppliedAnnotation] == "" && changes(live, intent) == ""
}

// stamp writes intent's digest into intent.
func stamp(intent *unstructured.Unstructured) error {
	annotations := intent.GetAnnotations()
	delete(annotations, names.AppliedAnnotation)
	if len(annotations) == 0 {
		annotations = nil // {} would be other content than none
	}
	intent.SetAnnotations(annotations)
	b, err := json.Marshal(intent.Object)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(b)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[names.AppliedAnnotation] = hex.EncodeToString(sum[:16])
	intent.SetAnnotations(annotations)
	return nil
}
