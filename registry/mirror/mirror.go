package mirror

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/mirror/advisory"
	"github.com/crateyard/crateyard/registry/mirror/policy"
	"github.com/crateyard/crateyard/registry/wire"
)

// Mirror is one mirror as it is to be from its last change on; another change makes another Mirror. It is safe for concurrent use.
type Mirror struct {
	*Manager
	Row    catalog.Mirror
	Spec   wire.MirrorSpec // with its defaults
	policy *policy.Policy

	filePrefix, cratePrefix string // of the keys under which things are in memory: files change with the mirror, archives do not

	up *upstream

	flights singleflight.Group // by crate: refreshes of index files
	mu      sync.Mutex
	fetches map[string]*Fetch // by crate and version: archives on their way

	advisories atomic.Pointer[advisory.DB] // nil: none are looked at, or none were read yet
	epoch      atomic.Int64                // grows when files of the index have to be made anew: see entry
	problems   problems

	filing  sync.Mutex // held while a file of the index comes into memory, or goes
	dropped int64      // how many have gone: see keep
}

const policyPinned = policy.RulePinned

// Name is the mirror's name.
func (m *Mirror) Name() string { return m.Row.Name }

// pinnedOnly reports whether only what is cached is served.
func (m *Mirror) pinnedOnly() bool { return m.Spec.Mode == Pinned }

// maxAge is how long an index file is served without asking.
func (m *Mirror) maxAge() time.Duration { return time.Duration(m.Spec.Upstream.MaxAge) }

// admitCrate refuses a crate that the policy denies whole.
func (m *Mirror) admitCrate(name string) error {
	if d := m.policy.Crate(name); d != nil {
		return m.refusal(*d, name)
	}
	return nil
}

// refusal is what a client is told of a denial.
func (m *Mirror) refusal(d policy.Denial, name string) error {
	what := "crate `" + name + "`"
	if d.Version != "" {
		what += " " + d.Version
	}
	return &Denied{Mirror: m.Name(), Crate: name, Version: d.Version, Rule: d.Rule,
		Err: fault.New(fault.Forbidden, "mirror `%s` does not give out %s (rule %s): %s", m.Name(), what, d.Rule, d.Reason)}
}

// Denied is the error for what a policy keeps from somebody.
type Denied struct {
	Mirror, Crate, Version, Rule string
	Err                          *fault.Error
}

// Error implements error.
func (d *Denied) Error() string { return d.Err.Error() }

// Unwrap gives what the client is told.
func (d *Denied) Unwrap() error { return d.Err }

// problems are what a person should look at. The newest are kept.
type problems struct {
	mu      sync.Mutex
	list    []string
	telling sync.Mutex
}

const maxProblems = 20

func (p *problems) add(text string) (isNew bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.Contains(p.list, text) {
		return false
	}
	if len(p.list) == maxProblems {
		p.list = p.list[1:]
	}
	p.list = append(p.list, text)
	return true
}

func (p *problems) has(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.list, text)
}

func (p *problems) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.list...)
}

// detached gives a context that outlives the request that began some work, as long as the server runs.
func (m *Mirror) detached(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(m.life, d)
}
