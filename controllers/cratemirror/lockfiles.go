package cratemirror

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/controllers/internal/parent"
	api "github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

// lockfile is an entry of spec.lockfiles, and what became of it.
type lockfile struct {
	configMap, key string
	held           *wire.MirrorLockfile // in effect; nil: none
	wrong          finding              // why the ConfigMap's file is not in effect
}

// String says where it is.
func (l lockfile) String() string { return fmt.Sprintf("ConfigMap %s, key %s", l.configMap, l.key) }

// maxLockfileName is the longest name that the registry takes.
const maxLockfileName = 253

// nameAt gives a lockfile's name at the registry. No name of a ConfigMap has an underscore, so no two are the same.
func (l lockfile) nameAt() string {
	name := names.LockfilePrefix + l.configMap + "_" + l.key
	if len(name) > maxLockfileName {
		sum := sha256.Sum256([]byte(name))
		name = name[:maxLockfileName-65] + "_" + hex.EncodeToString(sum[:])
	}
	return name
}

// lockfilesOf lists the lockfiles of a spec, each once.
func lockfilesOf(spec *v1alpha1.CrateMirrorSpec) []lockfile {
	var list []lockfile
	seen := map[string]bool{}
	for _, source := range spec.Lockfiles {
		l := lockfile{configMap: source.ConfigMapKeyRef.Name, key: source.ConfigMapKeyRef.Key}
		if l.key == "" {
			l.key = lockfileKey
		}
		if !seen[l.nameAt()] {
			seen[l.nameAt()] = true
			list = append(list, l)
		}
	}
	return list
}

// ensureLockfiles gives the mirror the lockfiles of the spec, and takes back those that are in it no more. One whose ConfigMap is gone or
// cannot be read stays as it was: a mistake must not let go what a build needs.
func (s *scope) ensureLockfiles(ctx context.Context) error {
	if s.facts.live == nil {
		return nil
	}
	held, wanted := map[string]*wire.MirrorLockfile{}, map[string]bool{}
	for i := range s.facts.live.Lockfiles {
		held[s.facts.live.Lockfiles[i].Name] = &s.facts.live.Lockfiles[i]
	}
	list := lockfilesOf(&s.mirror.Spec)
	for i := range list {
		l := &list[i]
		l.held = held[l.nameAt()]
		wanted[l.nameAt()] = true
		if err := s.ensureLockfile(ctx, l); err != nil {
			return err
		}
	}
	for name := range held {
		if !strings.HasPrefix(name, names.LockfilePrefix) || wanted[name] {
			continue
		}
		if err := s.server.DeleteLockfile(ctx, s.mirror.MirrorName(), name); err != nil && !api.IsNotFound(err) {
			return parent.FromServer(err, "removing lockfile "+name)
		}
		s.facts.lockfilesChanged = true
		s.apply.Say(s.mirror, "RemovedLockfile", "Removed lockfile %s, which is not in the spec any more: what it named may be removed again", name)
	}
	s.facts.lockfiles, s.facts.lockfilesRead = list, true
	if s.facts.applied != (applied{}) {
		s.applied.Store(s.mirror.UID, s.facts.applied)
	}
	return nil
}

func (s *scope) ensureLockfile(ctx context.Context, l *lockfile) error {
	ref := v1alpha1.ConfigMapKeyReference{Name: l.configMap, Key: l.key}
	data, found, err := s.configMapKey(ctx, ref, lockfileKey, "spec.lockfiles")
	if err != nil {
		return err
	}
	if found.reason != "" {
		l.wrong = found
		return nil
	}
	sum := sha256.Sum256(data)
	// Which packages of a lockfile are the mirror's depends on its upstream, so with a new spec it is given again.
	if l.held != nil && l.held.SHA256 == hex.EncodeToString(sum[:]) && !s.facts.again {
		return nil
	}
	was := l.held
	now, err := s.server.PutLockfile(ctx, s.mirror.MirrorName(), l.nameAt(), bytes.NewReader(data))
	e, isAnswer := errors.AsType[*api.Error](err)
	switch {
	case api.IsInvalid(err), isAnswer && e.StatusCode == http.StatusRequestEntityTooLarge:
		detail := strings.TrimPrefix(e.Detail, "lockfile `"+l.nameAt()+"`: ")
		l.wrong = finding{v1alpha1.ReasonLockfileInvalid, fmt.Sprintf("%s: %s", l, detail)}
		return nil
	case err != nil:
		return parent.FromServer(err, "lockfile of "+l.String())
	}
	l.held = &now
	switch {
	case was == nil:
		s.facts.lockfilesChanged = true
		s.apply.Say(s.mirror, "AddedLockfile", "Added the lockfile of %s, which names %d versions", l, now.Versions)
	case was.SHA256 != now.SHA256 || was.Versions != now.Versions:
		s.facts.lockfilesChanged = true
		s.apply.Say(s.mirror, "UpdatedLockfile", "Updated the lockfile of %s, which names %d versions now", l, now.Versions)
	}
	return nil
}
