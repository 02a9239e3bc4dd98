package crate

import (
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// CratesIOIndex is how cargo names crates.io, whichever protocol it speaks to it.
const CratesIOIndex = "https://github.com/rust-lang/crates.io-index"

// cratesIOSparse is where cargo finds it by the sparse protocol; to cargo both are one registry.
const cratesIOSparse = "sparse+https://index." + "crates.io" + "/"

// IndexAddress gives crates.io its one name, and every other registry the one that it has.
func IndexAddress(registry string) string {
	if registry == cratesIOSparse || registry+"/" == cratesIOSparse {
		return CratesIOIndex
	}
	return registry
}

// Manifest is what the server reads from the Cargo.toml inside an archive: the words of the author, against which the
// metadata that came with the upload is held.
type Manifest struct {
	Name, Version, Edition, RustVersion, Links                             string
	Description, License, LicenseFile, Homepage, Documentation, Repository string
	Readme                                                                 string // path; empty for none
	Keywords, Categories                                                   []string
	Deps                                                                   []Dependency // Registry is never empty: crates.io is CratesIOIndex
	Features                                                               map[string][]string
	Lib                                                                    *Lib
	Bins                                                                   []string // names of the [[bin]]s
	Unpublished                                                            bool     // publish is false, or names no registry

	unread fields // what an error beside the manifest speaks of: keys of [package], "deps", "features", "lib", and single ones of these
}

// fields are parts of an account of a crate that could not be read, so that nothing is said of what would follow from that.
type fields map[string]bool

// Lib is the [lib] of a manifest.
type Lib struct {
	Path      string // empty: src/lib.rs
	ProcMacro bool
}

// ParseManifest reads a normalised Cargo.toml, as `cargo package` writes it: no inheritance from a workspace, no paths, no
// [patch]. The error lists every rule that is broken, one a line, up to a limit. Where there is a [package], there is a manifest beside
// the error, for whoever looks for more that is broken.
func ParseManifest(data []byte) (*Manifest, error) {
	var p problems
	doc, err := parseTOML(data)
	if err != nil {
		return nil, fmt.Errorf("Cargo.toml in the archive: %s", clipTo(err.Error(), maxProblemText))
	}
	m := &Manifest{unread: fields{}}
	if !m.read(table{doc, "Cargo.toml in the archive", &p}) {
		return nil, p.err()
	}
	return m, p.err()
}

// reading reads one part, and notes it as unread when that found a problem.
func (m *Manifest) reading(part string, p *problems, read func()) {
	before := p.count()
	read()
	if p.count() > before {
		m.unread[part] = true
	}
}

// maxManifestKeys bounds the keys of a manifest: the TOML library takes time in their square, about a second for so many,
// more than a minute for what fits in maxManifest. 500 dependencies with all their keys are 4,000.
// maxManifestValues bounds its values, those in arrays too: one of two bytes in the text takes hundreds in memory, as soon as the
// library looks at it, so they are counted by the signs that stand between them. maxKeyParts bounds what stands between the dots of one key.
const (
	maxManifestKeys   = 10_000
	maxManifestValues = 50_000
	maxKeyParts       = 16
)

// reading bounds the manifests that are read at a time, each of which may take some 20 MiB for that moment.
var reading = make(chan struct{}, 4)

func parseTOML(data []byte) (map[string]any, error) {
	reading <- struct{}{}
	defer func() { <-reading }()
	signs := 0
	for _, c := range data {
		if c == ',' || c == '[' || c == '{' || c == '=' {
			signs++
		}
	}
	if signs > maxManifestValues {
		return nil, fmt.Errorf("it has more than %d values", maxManifestValues)
	}
	scan := unstable.Parser{}
	scan.Reset(data)
	for keys := 0; scan.NextExpression(); {
		if err := countKeys(scan.Expression(), &keys, 0); err != nil {
			return nil, err
		}
	}
	if err := scan.Error(); err != nil {
		return nil, err
	}
	var doc map[string]any
	return doc, toml.Unmarshal(data, &doc)
}

// countKeys counts the keys of an expression, and of the inline tables in it.
func countKeys(n *unstable.Node, keys *int, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("it nests deeper than %d", maxDepth)
	}
	switch n.Kind {
	case unstable.KeyValue, unstable.Table, unstable.ArrayTable:
		parts := 0
		for it := n.Key(); it.Next(); {
			parts++
		}
		if parts > maxKeyParts {
			return fmt.Errorf("a key has %d parts, the limit is %d", parts, maxKeyParts)
		}
		if *keys++; *keys > maxManifestKeys {
			return fmt.Errorf("it has more than %d keys", maxManifestKeys)
		}
		if n.Kind == unstable.KeyValue {
			return countKeys(n.Value(), keys, depth+1)
		}
	case unstable.Array, unstable.InlineTable:
		for it := n.Children(); it.Next(); {
			if err := countKeys(it.Node(), keys, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *Manifest) read(doc table) (ok bool) {
	for _, key := range []string{"patch", "replace"} {
		if doc.m[key] != nil {
			doc.bad("[%s] cannot stand in a published crate", key)
		}
	}
	m.refuseOld(doc, "project", "package")
	doc.inherits("lints")
	pkg, ok := doc.table("package")
	if !ok {
		doc.bad("it has no [package] section")
		return false
	}
	m.readPackage(pkg)
	m.readDependencies(doc, "")
	if targets, ok := m.dependencyTable(doc, "target"); ok {
		for _, target := range sortedKeys(targets.m) {
			if t, ok := m.dependencyTable(targets, target); ok {
				m.readDependencies(t, target)
			}
		}
	}
	m.Features = map[string][]string{}
	var features table
	m.reading("features", doc.p, func() { features, _ = doc.table("features") })
	for _, name := range sortedKeys(features.m) {
		m.reading(featurePart(name), doc.p, func() { m.Features[name] = features.texts(name) })
	}
	m.reading("lib", doc.p, func() {
		if lib, ok := doc.table("lib"); ok {
			m.Lib = &Lib{Path: lib.text("path"), ProcMacro: lib.flag("proc-macro", false) || lib.flag("proc_macro", false)}
		}
	})
	for _, bin := range doc.tables("bin") {
		m.Bins = append(m.Bins, bin.text("name"))
	}
	return true
}

// featurePart is what a feature is called among unread parts.
func featurePart(name string) string { return "features\x00" + name }

// dependencyTable gives a table that has dependencies in it.
func (m *Manifest) dependencyTable(t table, key string) (sub table, ok bool) {
	m.reading("deps", t.p, func() { sub, ok = t.table(key) })
	return sub, ok
}

func (m *Manifest) readPackage(pkg table) {
	for key, to := range map[string]*string{
		"name": &m.Name, "version": &m.Version, "edition": &m.Edition, "rust-version": &m.RustVersion, "links": &m.Links,
		"description": &m.Description, "license": &m.License, "license-file": &m.LicenseFile,
		"homepage": &m.Homepage, "documentation": &m.Documentation, "repository": &m.Repository,
	} {
		m.reading(key, pkg.p, func() { *to = pkg.text(key) })
	}
	if _, isBool := pkg.m["readme"].(bool); !isBool { // false for none
		m.reading("readme", pkg.p, func() { m.Readme = pkg.text("readme") })
	}
	switch publish := pkg.m["publish"].(type) { // that of another type is cargo's business
	case bool:
		m.Unpublished = !publish
	case []any:
		m.Unpublished = len(publish) == 0
	}
	m.reading("keywords", pkg.p, func() { m.Keywords = pkg.texts("keywords") })
	m.reading("categories", pkg.p, func() { m.Categories = pkg.texts("categories") })
	for _, key := range []string{"name", "version"} {
		if pkg.m[key] == nil {
			m.unread[key] = true
			pkg.bad("it has no %s", key)
		}
	}
	if _, said := pkg.m["rust-version"].(string); said && !isRustVersion(m.RustVersion) { // it becomes part of the index line
		m.unread["rust-version"] = true
		pkg.bad("rust-version %q must be one to three numbers, such as 1.85", clip(m.RustVersion))
	}
	for _, key := range sortedKeys(pkg.m) { // those that are not read otherwise
		m.reading(key, pkg.p, func() { pkg.inherits(key) })
	}
}

// refuseOld refuses a table under the name that it had once, by which cargo still finds it and nobody else.
func (m *Manifest) refuseOld(t table, old, now string) {
	if t.m[old] != nil {
		m.unread["deps"] = true
		t.bad("[%s] is an old name of [%s], which cargo replaces when it packages; package again", old, now)
	}
}

// readDependencies reads the three tables of dependencies, of all targets or of one.
func (m *Manifest) readDependencies(t table, target string) {
	m.refuseOld(t, "dev_dependencies", "dev-dependencies")
	m.refuseOld(t, "build_dependencies", "build-dependencies")
	for _, k := range []struct{ key, kind string }{{"dependencies", "normal"}, {"build-dependencies", "build"}, {"dev-dependencies", "dev"}} {
		deps, ok := m.dependencyTable(t, k.key)
		if !ok {
			continue
		}
		for _, name := range sortedKeys(deps.m) {
			d := Dependency{Name: name, Kind: k.kind, Target: target, DefaultFeatures: true, Registry: CratesIOIndex}
			before := t.p.count()
			if name == "" {
				deps.bad("a dependency has no name")
			}
			if req, ok := deps.m[name].(string); ok {
				d.Req = req
			} else if spec, ok := deps.table(name); ok {
				d.readTOML(spec)
			}
			if t.p.count() > before {
				m.unread[d.part()] = true
			}
			m.Deps = append(m.Deps, d)
		}
	}
}

// readTOML reads the long form of a dependency. Its key for a registry is registry-index, and left out it means crates.io: the
// opposite of the index.
func (d *Dependency) readTOML(t table) {
	for _, key := range []string{"path", "git", "registry", "base", "artifact"} {
		if t.m[key] != nil {
			t.bad("%q cannot stand in a published crate", key)
		}
	}
	if t.m["version"] == nil && t.m["workspace"] == nil {
		t.bad("it has no version")
	}
	d.Req = t.text("version")
	if r := t.text("registry-index"); r != "" {
		d.Registry = IndexAddress(r)
	}
	switch real := t.text("package"); {
	case real != "":
		d.Name, d.Alias = real, d.Name
	case t.m["package"] == "":
		t.bad("package is empty")
	}
	d.Optional = t.flag("optional", false)
	d.DefaultFeatures = t.flag("default-features", t.flag("default_features", true))
	d.Features = t.texts("features")
	t.inherits("workspace")
}

// table is a part of a TOML document, with what it is called in errors. Its readers note a value of a wrong type.
type table struct {
	m  map[string]any
	at string
	p  *problems
}

func (t table) bad(format string, args ...any) { t.p.add(t.at, format, args...) }

// inherits notes a key that cargo would have taken from the workspace.
func (t table) inherits(key string) {
	v := t.m[key]
	if sub, ok := v.(map[string]any); ok {
		v = sub["workspace"]
	} else if key != "workspace" {
		return
	}
	if v == true {
		t.bad("%s is inherited from a workspace that is not in the archive; cargo resolves this when it packages", clip(key))
	}
}

func (t table) text(key string) string {
	s, ok := t.m[key].(string)
	if sub, _ := t.m[key].(map[string]any); !ok && t.m[key] != nil && sub["workspace"] == nil {
		t.bad("%s must be a text", clip(key))
	}
	if strings.Contains(s, "\x00") { // no database keeps it
		t.bad("%s has a NUL character", clip(key))
	}
	return s
}

func (t table) flag(key string, without bool) bool {
	v, exists := t.m[key]
	b, ok := v.(bool)
	switch {
	case !exists:
		return without
	case !ok:
		t.bad("%s must be true or false", clip(key))
	}
	return b
}

func (t table) texts(key string) []string {
	values, ok := t.m[key].([]any)
	if sub, _ := t.m[key].(map[string]any); !ok && t.m[key] != nil && sub["workspace"] == nil {
		t.bad("%s must be a list of texts", clip(key))
	}
	var list []string
	for _, v := range values {
		s, ok := v.(string)
		if !ok {
			t.bad("%s must be a list of texts", clip(key))
			return nil
		}
		if strings.Contains(s, "\x00") {
			t.bad("%s has a NUL character", clip(key))
			return nil
		}
		list = append(list, s)
	}
	return list
}

func (t table) table(key string) (table, bool) {
	m, ok := t.m[key].(map[string]any)
	if !ok && t.m[key] != nil {
		t.bad("%s must be a table", clip(key))
	}
	return table{m, strings.TrimSuffix(t.at, "]") + map[bool]string{true: ".", false: " ["}[strings.HasSuffix(t.at, "]")] + clip(key) + "]", t.p}, ok
}

func (t table) tables(key string) (list []table) {
	values, ok := t.m[key].([]any)
	if !ok && t.m[key] != nil {
		t.bad("%s must be a list of tables", clip(key))
	}
	for _, v := range values {
		m, ok := v.(map[string]any)
		if !ok {
			t.bad("%s must be a list of tables", clip(key))
			return nil
		}
		list = append(list, table{m, t.at, t.p})
	}
	return list
}
