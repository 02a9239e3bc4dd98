package plan

import (
	"context"
	"strings"

	"github.com/crateyard/crateyard/registry/crate"
)

// pins makes a job of each crate that lockfiles name, so that its index file is asked for once.
func (w *walker) pins(files []Lockfile) []job {
	type pin struct{ num, sum, from string }
	byCrate := map[string][]pin{}
	var names []string // in the order in which they come
	for _, f := range files {
		for _, p := range f.Packages {
			if byCrate[p.Name] == nil {
				names = append(names, p.Name)
			}
			byCrate[p.Name] = append(byCrate[p.Name], pin{p.Version, p.SHA256, fromLockfile + f.Name})
		}
	}
	jobs := make([]job, len(names))
	for i, name := range names {
		jobs[i] = func(ctx context.Context) (*result, error) {
			rec, err := w.loader.load(ctx, name)
			if err != nil {
				return nil, err
			}
			r := &result{}
			for _, p := range byCrate[name] {
				if reason := r.pin(rec, p.num, p.sum, p.from); reason != "" {
					r.fail(name, p.num, p.from, reason, rec.err)
				}
			}
			return r, nil
		}
	}
	return jobs
}

// pin adds a version that a lockfile names, or says why it cannot be kept.
func (r *result) pin(rec *record, num, sum, from string) (reason string) {
	if rec.problem != "" {
		return rec.problem
	}
	for i := range rec.versions {
		v := &rec.versions[i]
		if v.String() != num {
			continue
		}
		switch {
		case v.sum == [32]byte{}:
			return "the index has no valid checksum for it"
		case sum != "" && !strings.EqualFold(sum, v.sha256()):
			return "the lockfile has the checksum " + sum + ", the index " + v.sha256() + "; one of them is wrong, or upstream has replaced the archive"
		}
		r.versions = append(r.versions, step{node: rec.node(i).light(), from: from, pinned: true})
		return ""
	}
	all := make([]string, len(rec.versions))
	for i := range rec.versions {
		all[i] = rec.versions[i].String()
	}
	if _, err := crate.ParseVersion(num); err != nil {
		return err.Error()
	}
	return "upstream has no such version; it has " + some(all)
}
