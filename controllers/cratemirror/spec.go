package cratemirror

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/registry/wire"
)

// wireSpec is a spec as the registry takes it. ca are the certificates that it names, in PEM. The error names a field that the schema
// would have refused.
func wireSpec(spec *v1alpha1.CrateMirrorSpec, ca string) (wire.MirrorSpec, error) {
	d := durations{}
	up, p := &spec.Upstream, &spec.Policy
	out := wire.MirrorSpec{
		Upstream: wire.MirrorUpstream{
			Index: up.Index, MaxAge: d.read("spec.upstream.maxAge", up.MaxAge), CABundle: ca, Contact: up.Contact,
			Concurrency: int(up.Concurrency), RequestsPerSecond: int(up.RequestsPerSecond),
		},
		Mode:         string(spec.Mode),
		Dependencies: string(spec.Dependencies),
		RustVersion:  spec.RustVersion,
		Schedule:     spec.Schedule,
		Suspend:      spec.Suspend,
		Policy: wire.MirrorPolicy{
			Allow: plain(p.Allow), Deny: plain(p.Deny),
			MinimumAge: d.read("spec.policy.minimumAge", p.MinimumAge), MinimumAgeExceptions: plain(p.MinimumAgeExceptions),
			Licenses: plain(p.Licenses), LicenseExceptions: plain(p.LicenseExceptions),
			Yanked: p.Yanked, MaxCrateSize: bytesOf(p.MaxCrateSize),
		},
		Retention: wire.MirrorRetention{
			MaxSize: bytesOf(spec.Retention.MaxSize), UnusedFor: d.read("spec.retention.unusedFor", spec.Retention.UnusedFor), KeepPinned: spec.Retention.KeepPinned,
		},
	}
	for _, c := range spec.Crates {
		out.Crates = append(out.Crates, wire.MirrorCrate{Name: c.Name, Versions: c.Versions, Latest: int(c.Latest)})
	}
	if a := p.Advisories; a != nil {
		w := &wire.MirrorAdvisories{Source: a.Source, Action: a.Action, MinimumSeverity: a.MinimumSeverity, Informational: a.Informational}
		for _, e := range a.Exceptions {
			w.Exceptions = append(w.Exceptions, wire.MirrorException{ID: e.ID, Reason: e.Reason})
		}
		out.Policy.Advisories = w
	}
	return out, d.err
}

// durations reads time spans, and remembers the first that is none.
type durations struct{ err error }

func (d *durations) read(field string, text v1alpha1.Duration) wire.Duration {
	if text == "" {
		return 0
	}
	v, err := time.ParseDuration(string(text))
	if (err != nil || v < 0) && d.err == nil {
		d.err = fmt.Errorf("%s %q is no duration such as 72h", field, text)
	}
	return wire.Duration(v)
}

func bytesOf(q *resource.Quantity) int64 {
	if q == nil {
		return 0
	}
	return q.Value()
}

func plain[S ~string](list []S) []string {
	var out []string
	for _, s := range list {
		out = append(out, string(s))
	}
	return out
}

// changedFields names the fields in which two specs differ, as the CrateMirror calls them.
func changedFields(was, now wire.MirrorSpec) []string {
	a, b := fields(was), fields(now)
	var names []string
	for field := range a {
		if !reflect.DeepEqual(a[field], b[field]) {
			names = append(names, field)
		}
	}
	for field := range b {
		if _, known := a[field]; !known {
			names = append(names, field)
		}
	}
	slices.Sort(names)
	return names
}

// fields gives the values of a spec by their names, those of its parts as part.name.
func fields(spec wire.MirrorSpec) map[string]any {
	var tree map[string]any
	if text, err := json.Marshal(spec); err != nil || json.Unmarshal(text, &tree) != nil {
		return nil // a spec always marshals
	}
	flat := map[string]any{}
	for name, value := range tree {
		part, ok := value.(map[string]any)
		if !ok {
			flat[name] = value
		}
		for inner, v := range part {
			flat[name+"."+camel(inner)] = v
		}
	}
	return flat
}

var underscore = regexp.MustCompile(`_[a-z]`)

// camel makes a field's name of the registry's one of Kubernetes: minimum_age, minimumAge.
func camel(name string) string {
	return underscore.ReplaceAllStringFunc(name, func(s string) string { return strings.ToUpper(s[1:]) })
}

// refusal is what the registry has against a spec, an entry a line, with the fields as the CrateMirror calls them.
type refusal []complaint

type complaint struct {
	text   string
	policy bool
}

// Fields of the registry's specs and policies, with which its complaints begin.
var (
	fieldName    = regexp.MustCompile(`^[a-z_]+(\.[a-z_]+)*`)
	specFields   = []string{"upstream", "mode", "crates", "dependencies", "rust_version", "schedule", "suspend", "retention"}
	policyFields = []string{"allow", "deny", "minimum_age", "minimum_age_exceptions", "licenses", "license_exceptions", "yanked", "max_crate_size", "advisories"}
)

// readRefusal reads the registry's answer.
func readRefusal(detail string) (r refusal) {
	for line := range strings.Lines(detail) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		field := fieldName.FindString(line)
		first, _, _ := strings.Cut(field, ".")
		switch rest := line[len(field):]; {
		case slices.Contains(policyFields, first):
			r = append(r, complaint{"spec.policy." + camel(field) + rest, true})
		case slices.Contains(specFields, first):
			r = append(r, complaint{"spec." + camel(field) + rest, false})
		default:
			r = append(r, complaint{line, false})
		}
	}
	return r
}

// String gives all complaints.
func (r refusal) String() string {
	var texts []string
	for _, c := range r {
		texts = append(texts, c.text)
	}
	return strings.Join(texts, "; ")
}

// ofPolicy gives those about the policy.
func (r refusal) ofPolicy() refusal {
	return slices.DeleteFunc(slices.Clone(r), func(c complaint) bool { return !c.policy })
}

// reason is that of the policy where nothing else is wrong.
func (r refusal) reason() string {
	if len(r) == len(r.ofPolicy()) {
		return v1alpha1.ReasonPolicyInvalid
	}
	return v1alpha1.ReasonInvalidSpec
}
