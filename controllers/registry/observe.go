package registry

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/conditions"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
)

// observeIngress reads the Ingress, for its address.
func (s *scope) observeIngress(ctx context.Context) error {
	if s.registry.Spec.Ingress == nil {
		return nil
	}
	ingress := &networkingv1.Ingress{}
	err := s.Client.Get(ctx, s.key(s.registry.Name), ingress)
	if apierrors.IsNotFound(err) {
		return nil // the cache lags behind its creation; its watch asks for another look
	}
	if err != nil {
		return fmt.Errorf("reading Ingress %s: %w", s.registry.Name, err)
	}
	s.facts.ingress = ingress
	return nil
}

// ingressReady is there while an Ingress is wanted. It says whether an ingress controller took it, as far as that shows: by an
// address. Some controllers never write one, so Ready does not wait for it.
func ingressReady(r *v1alpha1.Registry, f facts) *metav1.Condition {
	const typ = v1alpha1.IngressReadyCondition
	if r.Spec.Ingress == nil {
		return nil
	}
	if !f.applied {
		c := kept(r, typ, nil)
		return &c
	}
	if address := ingressAddress(f.ingress); address != "" {
		c := conditions.True(typ, v1alpha1.ReasonAddressAssigned, fmt.Sprintf("Ingress %s has the address %s; %s must lead there%s", r.Name, address, r.Spec.Ingress.Host, otherHost(r)))
		return &c
	}
	class := "the cluster's default class, since spec.ingress.className is empty"
	if r.Spec.Ingress.ClassName != "" {
		class = "class " + r.Spec.Ingress.ClassName
	}
	c := conditions.False(typ, v1alpha1.ReasonAddressPending, fmt.Sprintf(
		"Ingress %s has no address yet; look whether an ingress controller runs for %s (`kubectl get ingressclasses`), and at `kubectl describe ingress %s`%s", r.Name, class, r.Name, otherHost(r)))
	return &c
}

// otherHost says that the Ingress answers for another host than cargo asks, which is as it should be only behind a proxy that names the
// Ingress's; empty when the hosts are one.
func otherHost(r *v1alpha1.Registry) string {
	u, err := url.Parse(r.Spec.URL)
	if r.Spec.URL == "" || err != nil || strings.EqualFold(u.Hostname(), r.Spec.Ingress.Host) {
		return ""
	}
	return fmt.Sprintf("; cargo asks %s, the host of spec.url, which the Ingress does not answer for: set spec.ingress.host to it, unless a proxy before the Ingress turns one into the other", u.Hostname())
}

// ingressNote is what Ready adds of an Ingress that may keep the address that it names from working.
func ingressNote(r *v1alpha1.Registry, f facts) string {
	switch {
	case r.Spec.Ingress == nil:
		return ""
	case otherHost(r) != "":
		return ", whose host is not that of spec.ingress; IngressReady says more"
	case ingressAddress(f.ingress) == "":
		return "; its Ingress has no address yet, and IngressReady says what to look at"
	}
	return ""
}

// ingressAddress gives the first address that an ingress controller wrote; empty when there is none.
func ingressAddress(ingress *networkingv1.Ingress) string {
	if ingress == nil {
		return ""
	}
	for _, a := range ingress.Status.LoadBalancer.Ingress {
		if a.IP != "" {
			return a.IP
		}
		if a.Hostname != "" {
			return a.Hostname
		}
	}
	return ""
}

// maxEvent bounds what a condition repeats of an event, in bytes; a provisioner may hand on a whole answer of its cloud.
const maxEvent = 300

// findVolumeTrouble gives the latest event that says why the volume does not come; empty when there is none, or when the
// operator may not look.
func (s *scope) findVolumeTrouble(ctx context.Context) string {
	if s.facts.volume == nil {
		return ""
	}
	return s.latestEvent(ctx, "PersistentVolumeClaim", s.facts.volume.UID)
}

// findPodTrouble gives the latest event that says why a pod does not start that has its node: volumes that cannot be mounted, a sandbox that cannot
// be made. What its containers say themselves is in its status.
func (s *scope) findPodTrouble(ctx context.Context) string {
	for i := range s.facts.pods {
		if pod := &s.facts.pods[i]; pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodPending && pod.Spec.NodeName != "" {
			return s.latestEvent(ctx, "Pod", pod.UID)
		}
	}
	return ""
}

func (s *scope) latestEvent(ctx context.Context, kind string, uid types.UID) string {
	events := &corev1.EventList{}
	about := client.MatchingFields{"involvedObject.kind": kind, "involvedObject.uid": string(uid)}
	if err := s.Live.List(ctx, events, client.InNamespace(s.registry.Namespace), about, client.Limit(100)); err != nil {
		return ""
	}
	return latestTrouble(events.Items)
}

// latestTrouble gives the reason and text of the latest event that tells of trouble. FailedBinding is one, although the
// cluster calls it normal.
func latestTrouble(events []corev1.Event) string {
	var latest *corev1.Event
	for i := range events {
		e := &events[i]
		if e.Type != corev1.EventTypeWarning && e.Reason != "FailedBinding" {
			continue
		}
		if latest == nil || eventTime(e).After(eventTime(latest)) {
			latest = e
		}
	}
	if latest == nil {
		return ""
	}
	return outcome.Clip(outcome.Message(join(latest.Reason, latest.Message)), maxEvent)
}

// eventTime is when an event happened last; which field says so depends on who wrote it.
func eventTime(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	}
	return e.CreationTimestamp.Time
}
