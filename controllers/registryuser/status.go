package registryuser

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/conditions"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
	"github.com/crateyard/crateyard/controllers/internal/parent"
	"github.com/crateyard/crateyard/registry/wire"
)

// facts are what the steps saw.
type facts struct {
	registryReady bool
	user          *wire.User
	tokensReady   bool
	tokens        []v1alpha1.TokenStatus
	next          time.Time // when a token has to be rotated or revoked; zero: never
}

// addToken notes how a token is.
func (f *facts) addToken(secretName string, spec v1alpha1.TokenSpec, d decision) {
	st := v1alpha1.TokenStatus{Name: spec.Name, ID: d.held.id, SecretName: secretName, Retiring: d.retiring}
	if !d.held.expiresAt.IsZero() {
		e, r := seconds(d.held.expiresAt), seconds(d.rotates)
		st.ExpiresAt, st.RotatesAt = &e, &r
		f.at(d.rotates)
	}
	for _, r := range d.retiring {
		f.at(r.RevokedAt.Time)
	}
	f.tokens = append(f.tokens, st)
}

// at notes a time at which there is something to do.
func (f *facts) at(t time.Time) {
	if f.next.IsZero() || t.Before(f.next) {
		f.next = t
	}
}

// status computes a RegistryUser's status from what it was, what the steps saw, and how they ended.
func status(u *v1alpha1.RegistryUser, f facts, err error, now time.Time) v1alpha1.RegistryUserStatus {
	st := *u.Status.DeepCopy()
	st.LastHandledReconcileAt = u.Annotations[v1alpha1.RequestedAtAnnotation]
	if len(st.LastHandledReconcileAt) > 256 {
		st.LastHandledReconcileAt = st.LastHandledReconcileAt[:256]
	}
	if f.user != nil {
		st.UserName, st.UserID = f.user.Name, f.user.ID
	}
	if f.tokensReady {
		st.Tokens = f.tokens
	} else {
		for _, t := range f.tokens { // those that were done before one failed
			st.Tokens = replaceToken(st.Tokens, t)
		}
	}
	st.SecretNames = nil
	for _, t := range st.Tokens {
		st.SecretNames = append(st.SecretNames, t.SecretName)
	}
	_, stalled := outcome.IsStalled(err)
	if err == nil || stalled {
		st.ObservedGeneration = u.Generation
	}
	conds := conditions.Summary(err, nil, readyMessage(u, f))
	was := meta.FindStatusCondition(u.Status.Conditions, v1alpha1.RegistryReadyCondition)
	conds = append(conds, parent.Ready(u.Spec.RegistryRef.Name, f.registryReady, err, was), userReady(u, f, err), tokensReady(u, f, err))
	st.Conditions = conditions.Merge(u.Status.Conditions, conds, u.Generation, now)
	return st
}

// readyMessage is what Ready says when all is as the spec wants it.
func readyMessage(u *v1alpha1.RegistryUser, f facts) string {
	if f.user != nil && f.user.Suspended {
		return fmt.Sprintf("user %s is suspended at Registry %s, as spec.access says: its %s refused", u.UserName(), u.Spec.RegistryRef.Name, outcome.Count(len(u.Spec.Tokens), "token is", "tokens are"))
	}
	return fmt.Sprintf("user %s is at Registry %s with %s", u.UserName(), u.Spec.RegistryRef.Name, outcome.Count(len(u.Spec.Tokens), "token", "tokens"))
}

// readySays keeps one trouble from being told by several conditions.
const readySays = "Ready says why"

func userReady(u *v1alpha1.RegistryUser, f facts, err error) metav1.Condition {
	const typ = v1alpha1.UserReadyCondition
	stalled, isStalled := outcome.IsStalled(err)
	switch {
	case f.user != nil && f.user.Suspended:
		return conditions.True(typ, v1alpha1.ReasonUserSuspended, fmt.Sprintf("user %s is suspended, as spec.access says: its tokens are refused", f.user.Name))
	case f.user != nil:
		return conditions.True(typ, v1alpha1.ReasonUserActive, fmt.Sprintf("user %s is there with role %s", f.user.Name, f.user.Role))
	case isStalled:
		return conditions.False(typ, stalled.Reason, readySays)
	}
	return kept(u, typ)
}

func tokensReady(u *v1alpha1.RegistryUser, f facts, err error) metav1.Condition {
	const typ = v1alpha1.TokensReadyCondition
	was := meta.FindStatusCondition(u.Status.Conditions, typ)
	switch {
	case f.tokensReady:
		return conditions.True(typ, v1alpha1.ReasonTokensIssued, outcome.Count(len(f.tokens), "token lies in its Secret", "tokens lie in their Secrets"))
	case err != nil && (f.user != nil || was != nil && was.Message == readySays): // which is of another trouble now
		reason := v1alpha1.ReasonFailed
		if stalled, ok := outcome.IsStalled(err); ok {
			reason = stalled.Reason
		} else if wait, ok := outcome.IsWait(err); ok {
			reason = wait.Reason
		}
		return conditions.False(typ, reason, readySays)
	}
	return kept(u, typ)
}

// kept gives a condition as it was when this reconcile did not come so far as to know.
func kept(u *v1alpha1.RegistryUser, typ string) metav1.Condition {
	if was := meta.FindStatusCondition(u.Status.Conditions, typ); was != nil {
		return *was
	}
	return conditions.Unknown(typ, v1alpha1.ReasonUnknown, "not looked at yet")
}

func replaceToken(list []v1alpha1.TokenStatus, t v1alpha1.TokenStatus) []v1alpha1.TokenStatus {
	for i := range list {
		if list[i].Name == t.Name {
			list[i] = t
			return list
		}
	}
	return append(list, t)
}

// seconds gives a time as the API server stores it.
func seconds(t time.Time) metav1.Time { return metav1.NewTime(t.Truncate(time.Second)) }
