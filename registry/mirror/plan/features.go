package plan

import (
	"maps"
	"slices"
	"strings"
)

// feature is one feature of a version and what it turns on: "other" a feature, "dep:d" an optional dependency, "d/f" a feature of a
// dependency and the dependency itself, "d?/f" the same without the dependency.
type feature struct {
	name   string
	values []string
}

// compileFeatures makes the sorted list of the features of an entry, those included that cargo makes of optional dependencies which no
// feature names with "dep:". ok is false for tables that cargo refuses, with the version. Source: build_feature_map of cargo.
func compileFeatures(e Entry) (_ []feature, ok bool) {
	optional := map[string]bool{} // by alias: whether one of the dependencies of that name is
	for _, d := range e.Deps {
		optional[d.Alias] = optional[d.Alias] || d.Optional
	}
	explicit := map[string]bool{}
	for _, values := range e.Features {
		for _, v := range values {
			if d, is := strings.CutPrefix(v, "dep:"); is {
				explicit[d] = true
			}
		}
	}
	all := maps.Clone(e.Features)
	if all == nil {
		all = map[string][]string{}
	}
	for d, is := range optional {
		if _, named := all[d]; is && !named && !explicit[d] {
			all[d] = []string{"dep:" + d}
		}
	}
	used := map[string]bool{}
	for _, values := range all {
		for _, v := range values {
			if !checkValue(v, all, optional, used) {
				return nil, false
			}
		}
	}
	for d, is := range optional {
		if is && !used[d] {
			return nil, false
		}
	}
	features := make([]feature, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		f := feature{name: intern(name)}
		for _, v := range all[name] {
			f.values = append(f.values, intern(v))
		}
		features = append(features, f)
	}
	return features, true
}

// checkValue checks one value of a feature, and notes which dependency it names.
func checkValue(v string, all map[string][]string, optional, used map[string]bool) bool {
	if d, f, slash := strings.Cut(v, "/"); slash {
		d, weak := strings.CutSuffix(d, "?")
		isOptional, is := optional[d]
		used[d] = true
		return is && !strings.Contains(f, "/") && (!weak || isOptional)
	}
	if d, is := strings.CutPrefix(v, "dep:"); is {
		used[d] = true
		return optional[d]
	}
	_, is := all[v]
	return is
}

// find gives the values of a feature.
func (d *detail) find(name string) (values []string, ok bool) {
	i, ok := slices.BinarySearchFunc(d.features, name, func(f feature, name string) int { return strings.Compare(f.name, name) })
	if !ok {
		return nil, false
	}
	return d.features[i].values, true
}

// has reports whether a version has all of these features.
func (d *detail) has(names []string) bool {
	for _, n := range names {
		if _, ok := d.find(n); !ok {
			return false
		}
	}
	return true
}

// turned is what a set of features turns on.
type turned struct {
	of       *detail
	features map[string]bool
	deps     map[string]map[string]bool // aliases of dependencies, with the features that they get
}

// turnOn follows features to all that they turn on. ok is false when one is missing, or names itself.
func (d *detail) turnOn(features []string, defaults bool) (turned, bool) {
	t := turned{of: d, features: map[string]bool{}, deps: map[string]map[string]bool{}}
	for _, f := range features {
		if !t.feature(f) {
			return t, false
		}
	}
	if _, has := d.find("default"); has && defaults {
		return t, t.feature("default")
	}
	return t, true
}

func (t turned) feature(name string) bool {
	if t.features[name] {
		return true
	}
	t.features[name] = true
	values, ok := t.of.find(name)
	if !ok {
		return false
	}
	for _, v := range values {
		if v == name || !t.value(v) {
			return false
		}
	}
	return true
}

func (t turned) value(v string) bool {
	if d, f, slash := strings.Cut(v, "/"); slash {
		d, weak := strings.CutSuffix(d, "?")
		if _, named := t.of.find(d); named && !weak && t.of.optional(d) && !t.feature(d) {
			return false
		}
		t.dep(d)[f] = true // a weak one, too, turns the dependency on, as far as the resolver is concerned
		return true
	}
	if d, is := strings.CutPrefix(v, "dep:"); is {
		t.dep(d)
		return true
	}
	return t.feature(v)
}

func (t turned) dep(alias string) map[string]bool {
	if t.deps[alias] == nil {
		t.deps[alias] = map[string]bool{}
	}
	return t.deps[alias]
}

func (d *detail) optional(alias string) bool {
	return slices.ContainsFunc(d.deps, func(dep dependency) bool { return dep.alias == alias && dep.optional })
}
