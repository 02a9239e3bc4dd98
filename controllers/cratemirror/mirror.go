package cratemirror

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
	"github.com/crateyard/crateyard/controllers/internal/parent"
	api "github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

// applied is what was last given to the registry, and the mirror's generation after that. As long as both are the same nothing is given again:
// each time, all servers of the registry would look anew at what they have.
type applied struct {
	digest     [sha256.Size]byte
	generation int64
}

// ensureMirror makes the mirror at the registry as the spec says. One that is there already is taken over. What the registry refuses is
// noted, and does not end the reconcile.
func (s *scope) ensureMirror(ctx context.Context) error {
	name := s.mirror.MirrorName()
	have, err := s.server.Mirror(ctx, name)
	switch {
	case err == nil:
		s.facts.live = &have
	case !api.IsNotFound(err):
		return parent.FromServer(err, "mirror "+name)
	}
	if s.facts.missing.reason != "" {
		return nil // with half of it, a mirror would be another one
	}
	spec, err := wireSpec(&s.mirror.Spec, s.refs.ca)
	if err != nil {
		return err // validate has seen it
	}
	change := wire.MirrorChange{Spec: spec, Token: &s.refs.token}
	text, err := json.Marshal(change)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(text)
	if last, ok := s.applied.Load(s.mirror.UID); ok && s.facts.live != nil && last == (applied{digest, have.Generation}) {
		s.facts.accepted = true
		return nil
	}
	s.facts.again = true
	m, err := s.server.PutMirror(ctx, name, change)
	if err != nil {
		return s.notPut(err)
	}
	was := s.facts.live
	s.sayPut(was, m)
	for _, text := range m.Warnings {
		if was != nil { // of a new one UpstreamReady says the same
			s.apply.Alert(s.mirror, "MirrorWarning", "%s", s.facts.text(text))
		}
	}
	s.facts.live, s.facts.accepted = &m, true
	s.facts.applied = applied{digest, m.Generation}
	return nil
}

// notPut tells what the registry refuses of the spec from what trying again may mend.
func (s *scope) notPut(err error) error {
	e, isAnswer := errors.AsType[*api.Error](err)
	switch {
	case api.IsInvalid(err), isAnswer && e.StatusCode == http.StatusRequestEntityTooLarge:
		s.facts.refused = readRefusal(e.Detail)
		return nil
	case api.IsNotFound(err), isAnswer && e.StatusCode == http.StatusMethodNotAllowed:
		return outcome.Stall(v1alpha1.ReasonServerTooOld, "the server of Registry %s is of a version that has no mirrors; update it (its spec.image, or the operator)", s.registry.Name)
	}
	return parent.FromServer(err, "mirror "+s.mirror.MirrorName())
}

// sayPut tells what became of a mirror.
func (s *scope) sayPut(was *wire.Mirror, now wire.Mirror) {
	switch {
	case was == nil:
		s.apply.Say(s.mirror, "CreatedMirror", "Created mirror %s of %s", now.Name, now.Status.Upstream.Backend)
	case s.mirror.Status.MirrorName == "":
		s.apply.Say(s.mirror, "AdoptedMirror", "Took over mirror %s, which was there already with %d crate files", now.Name, was.Status.Crates)
	case was.Generation != now.Generation:
		what := strings.Join(changedFields(was.Spec, now.Spec), ", ")
		if what == "" {
			what = "the token"
		}
		s.apply.Say(s.mirror, "UpdatedMirror", "Updated mirror %s: %s", now.Name, what)
	}
}

// requestSync has the mirror sync now, when the annotation asks for it.
func (s *scope) requestSync(ctx context.Context) error {
	asked := outcome.Clip(s.mirror.Annotations[v1alpha1.SyncRequestedAtAnnotation], maxAnnotation)
	if asked == "" || asked == s.mirror.Status.LastHandledSyncAt || s.facts.live == nil {
		return nil
	}
	m, err := s.server.SyncMirror(ctx, s.mirror.MirrorName())
	if err != nil {
		return parent.FromServer(err, "asking for a sync")
	}
	s.facts.live, s.facts.syncAsked = &m, true
	s.apply.Say(s.mirror, "RequestedSync", "Asked mirror %s for a sync, as the annotation %s says", m.Name, v1alpha1.SyncRequestedAtAnnotation)
	return nil
}

// observe reads how the mirror stands now, where lockfiles changed it.
func (s *scope) observe(ctx context.Context) error {
	if !s.facts.lockfilesChanged || s.facts.syncAsked {
		return nil
	}
	m, err := s.server.Mirror(ctx, s.mirror.MirrorName())
	if err != nil {
		return parent.FromServer(err, "mirror "+s.mirror.MirrorName())
	}
	s.facts.live = &m
	return nil
}

// cargoConfig gives the lines for cargo's config.toml that make it use a mirror.
func cargoConfig(upstream string, m wire.Mirror) string {
	return wire.MirrorConfig(upstream, m.Name, strings.TrimSuffix(strings.TrimPrefix(m.IndexURL, "sparse+"), "/mirrors/"+m.Name+"/"))
}
