package registryuser

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/registry/wire"
)

// The defaults of what a token's spec leaves out.
const (
	maxRotateBefore = 168 * time.Hour // a week for somebody to notice when rotation fails
	defaultGrace    = 24 * time.Hour  // longer than any build
)

// lifetime is the parsed time part of a token's spec.
type lifetime struct {
	expiresAfter time.Duration // 0: never
	rotateBefore time.Duration
	grace        time.Duration
}

func parseLifetime(t v1alpha1.TokenSpec) (lifetime, error) {
	l := lifetime{grace: defaultGrace}
	for _, f := range []struct {
		name string
		from v1alpha1.Duration
		to   *time.Duration
	}{{"expiresAfter", t.ExpiresAfter, &l.expiresAfter}, {"rotateBefore", t.RotateBefore, &l.rotateBefore}, {"gracePeriod", t.GracePeriod, &l.grace}} {
		if f.from == "" {
			continue
		}
		d, err := time.ParseDuration(string(f.from))
		if err != nil || d < 0 {
			return l, fmt.Errorf("%s %q is no duration such as 2160h", f.name, f.from)
		}
		*f.to = d
	}
	if t.RotateBefore == "" {
		l.rotateBefore = min(l.expiresAfter/3, maxRotateBefore)
	}
	if l.expiresAfter > 0 && l.rotateBefore >= l.expiresAfter {
		return l, fmt.Errorf("rotateBefore must be shorter than expiresAfter")
	}
	return l, nil
}

// held is what a Secret says of the token in it.
type held struct {
	id        int64
	token     string
	issuedAt  time.Time
	expiresAt time.Time // zero: never
	// createdAt is when the registry says that it made the token; zero in Secrets of earlier versions. With the id it tells one token from any
	// other: a registry that began anew, or was restored, gives the same ids again.
	createdAt time.Time
}

// readSecret reads what a Secret holds. ok is false when somebody edited it: token and digest, or the annotations, do not
// fit together.
func readSecret(secret *corev1.Secret) (held, bool) {
	a := secret.Annotations
	h := held{token: string(secret.Data["token"])}
	var err1, err2, err3, err4 error
	h.id, err1 = strconv.ParseInt(a[names.TokenIDAnnotation], 10, 64)
	h.issuedAt, err2 = time.Parse(time.RFC3339, a[names.IssuedAtAnnotation])
	if e := a[names.ExpiresAtAnnotation]; e != "" {
		h.expiresAt, err3 = time.Parse(time.RFC3339, e)
	}
	if c := a[names.CreatedAtAnnotation]; c != "" {
		h.createdAt, err4 = time.Parse(time.RFC3339, c)
	}
	return h, err1 == nil && err2 == nil && err3 == nil && err4 == nil && a[names.DigestAnnotation] == digest(h.token)
}

func digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// input is all that the decision about one token depends on.
type input struct {
	spec   v1alpha1.TokenSpec
	life   lifetime
	secret *corev1.Secret // nil: there is none
	listed []wire.Token   // the registry's tokens of this name
	now    time.Time
}

// decision is what to do about one token.
type decision struct {
	issue  string // why a new token is needed; empty when none is
	lost   bool   // the Secret is missing or was edited, so older tokens may be in wrong hands
	held   held   // what the Secret holds, when it is as it should be
	revoke []int64
	// retiring are older tokens that stay valid for a while, with the time at which they are revoked.
	retiring []v1alpha1.RetiringToken
	rotates  time.Time // zero: never
}

// decide says what to do about one token. When a token has to be issued, it says nothing of older ones: what becomes of them
// is decided again afterwards, when the new one is in its Secret.
func decide(in input) decision {
	var d decision
	if in.secret == nil {
		return decision{issue: "its Secret is missing", lost: true}
	}
	h, ok := readSecret(in.secret)
	if !ok {
		return decision{issue: "its Secret was edited", lost: true}
	}
	d.held = h
	if !h.expiresAt.IsZero() {
		d.rotates = h.expiresAt.Add(-in.life.rotateBefore)
	}
	i := slices.IndexFunc(in.listed, func(t wire.Token) bool { return t.ID == h.id })
	if i >= 0 && !h.createdAt.IsZero() && h.createdAt.Unix() != in.listed[i].CreatedAt.Unix() {
		i = -1 // another one, of a registry that began anew
	}
	if i >= 0 && !endsAt(in.listed[i], h.expiresAt) { // with a date that is not the token's it would not be replaced in time
		return decision{issue: "its Secret was edited", lost: true}
	}
	switch {
	case i < 0:
		d.issue = "the registry does not know it any more"
	case !sameRights(in.listed[i], in.spec):
		d.issue = "its scopes or crates changed"
	case lifetimeChanged(h, in.life):
		d.issue = "its lifetime changed"
	case !d.rotates.IsZero() && !in.now.Before(d.rotates):
		d.issue = "it is due for rotation"
	}
	if d.issue != "" {
		return d
	}
	retireOthers(&d, in)
	return d
}

// endsAt reports whether a token ends when its Secret says so; zero: never.
func endsAt(t wire.Token, at time.Time) bool {
	if t.ExpiresAt == nil {
		return at.IsZero()
	}
	return t.ExpiresAt.Unix() == at.Unix()
}

// retireOthers decides about tokens of the same name beside the one in the Secret.
func retireOthers(d *decision, in input) {
	for _, t := range in.listed {
		if t.ID == d.held.id {
			continue
		}
		at := replacedAt(t, in.listed, d.held).Add(in.life.grace)
		if t.ExpiresAt != nil && t.ExpiresAt.Before(at) {
			at = *t.ExpiresAt
		}
		// A younger one is the remains of an attempt whose Secret was never written: nobody holds it.
		if t.ID > d.held.id || !within(t, in.spec) || !in.now.Before(at) {
			d.revoke = append(d.revoke, t.ID)
			continue
		}
		d.retiring = append(d.retiring, v1alpha1.RetiringToken{ID: t.ID, RevokedAt: seconds(at)})
	}
}

// replacedAt is when a token was replaced: when the next younger one was made. Measured from the newest, each rotation would
// give all older ones another grace period.
func replacedAt(t wire.Token, listed []wire.Token, h held) time.Time {
	next, at := h.id, h.issuedAt
	for _, o := range listed {
		if t.ID < o.ID && o.ID < next {
			next, at = o.ID, o.CreatedAt
		}
	}
	return at
}

// lifetimeChanged reports whether a token lives longer than its spec now says, or ends although it should not. One that
// lives shorter is rotated when its time comes.
func lifetimeChanged(h held, life lifetime) bool {
	if life.expiresAfter == 0 || h.expiresAt.IsZero() {
		return (life.expiresAfter == 0) != h.expiresAt.IsZero()
	}
	return h.expiresAt.Sub(h.issuedAt) > life.expiresAfter+time.Minute
}

func sameRights(t wire.Token, spec v1alpha1.TokenSpec) bool {
	return sameSet(t.Scopes, plain(spec.Scopes)) && sameSet(t.Crates, plain(spec.Crates))
}

// within reports whether a token may do no more than the spec allows; an empty list allows everything.
func within(t wire.Token, spec v1alpha1.TokenSpec) bool {
	return subset(t.Scopes, plain(spec.Scopes)) && subset(t.Crates, plain(spec.Crates))
}

func subset(some, all []string) bool {
	if len(all) == 0 {
		return true
	}
	return len(some) > 0 && !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

func plain[S ~string](list []S) []string {
	var out []string
	for _, s := range list {
		out = append(out, string(s))
	}
	return out
}
