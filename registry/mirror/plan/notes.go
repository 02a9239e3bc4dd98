package plan

import "strings"

// notes are what was learned of dependencies: versions beside which none of their candidates can be. They hold for the rest of a
// resolution, whatever is taken back. Source: conflict_cache.rs of cargo, which as well takes no account of the features that were asked
// for when a note was made.
type notes map[noted][]conflict

// noted tells dependencies apart as cargo does: by how they are written, wherever.
type noted struct {
	crate, alias, target string
	req                  *requirement
	features             string
	optional, defaults   bool
	kind                 byte
}

func (d *dependency) noted() noted {
	return noted{d.crate, d.alias, d.target, d.req, strings.Join(d.features, "\n"), d.optional, d.defaults, d.kind}
}

// conflict is versions that are active, by which something cannot be.
type conflict map[id]*activation

// add adds a version; nil stands for the package that all begins with, which is always there.
func (c conflict) add(a *activation) {
	if a != nil {
		c[a.id()] = a
	}
}

func (c conflict) addAll(other conflict, but *activation) {
	for id, a := range other {
		if id != but.id() {
			c[id] = a
		}
	}
}

// last is the last choice that brought one of the versions.
func (c conflict) last() (choice int) {
	for _, a := range c {
		choice = max(choice, a.choice)
	}
	return choice
}

func (n notes) add(d *dependency, c conflict) {
	key := d.noted()
	n[key] = append(n[key], c)
}

// find gives the known conflict of a dependency with what is active, with must among it, unless that is nil. Of several it is the one
// that was there first.
func (r *resolver) find(d *dependency, must *activation) conflict {
	var best conflict
	for _, c := range r.notes[d.noted()] {
		if must != nil && c[must.id()] == nil {
			continue
		}
		now := conflict{}
		for id, a := range c {
			if here := r.active[a.place()]; here != nil && here.id() == id {
				now[id] = here
			}
		}
		if len(now) == len(c) && (best == nil || now.lastBut(must) < best.lastBut(must)) {
			best = now
		}
	}
	return best
}

func (c conflict) lastBut(must *activation) (choice int) {
	for _, a := range c {
		if a != must {
			choice = max(choice, a.choice)
		}
	}
	return choice
}

// knownToFail says by which versions one that has just been activated cannot be: because of a dependency of its own, or one of another
// that is still open. It is nil when nothing is known.
func (r *resolver) knownToFail(a *activation, deps []open) conflict {
	if len(r.notes) == 0 {
		return nil
	}
	for _, d := range deps {
		if c := r.find(d.dependency, nil); c != nil {
			return c
		}
	}
	for i := range r.frames {
		f := &r.frames[i]
		for _, d := range f.deps[f.at:] {
			if c := r.find(d.dependency, a); c != nil {
				c.add(f.parent)
				return c
			}
		}
	}
	return nil
}
