package apply

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/crateyard/crateyard/controllers/internal/names"
)

// retrySoon is when to look again at something that is about to vanish, if no watch tells.
const retrySoon = 5 * time.Second

// merged are the lists whose elements server-side apply merges by a key: others may add elements, which stay. Every other
// list is ours as a whole.
var merged = []string{"containers", "initContainers", "volumes", "volumeMounts", "env", "ports", "imagePullSecrets", "ownerReferences", "topologySpreadConstraints"}

// upToDate reports whether live is what applying intent would give.
func upToDate(live, intent *unstructured.Unstructured) bool {
	return live.GetDeletionTimestamp() == nil &&
		live.GetAnnotations()[names.AppliedAnnotation] == intent.GetAnnotations()[names.AppliedAnnotation] &&
		len(difference(live.Object, intent.Object)) == 0
}

// atomic are the maps of plain values that are ours as a whole: server-side apply replaces them, and a selector with more in it than we put there
// selects nothing.
var atomic = []string{"selector", "nodeSelector"}

// path leads to a field. A key may have dots in it.
type path []string

func (p path) String() string { return strings.Join(p, ".") }

// to gives the path of a field below; the path itself stays as it is.
func (p path) to(key string) path { return append(slices.Clip(p), key) }

// last is the field's own name.
func (p path) last() string { return p[len(p)-1] }

// within reports whether the field lies below all of the named ones, which are the path's beginning.
func (p path) within(names ...string) bool {
	return len(p) > len(names) && slices.Equal(p[:len(names)], names)
}

// difference lists where live differs from intent, as paths; what intent leaves out counts as equal.
func difference(live, intent map[string]any) []path {
	var paths []path
	compareMaps(nil, live, intent, &paths)
	return paths
}

func compareMaps(at path, live, intent map[string]any, paths *[]path) {
	for _, key := range sortedKeys(intent) {
		if len(at) == 0 && (key == "apiVersion" || key == "kind") {
			continue // typed objects from a cache have neither
		}
		compare(at.to(key), live[key], intent[key], paths)
	}
}

func compare(at path, live, intent any, paths *[]path) {
	key := at.last()
	switch want := intent.(type) {
	case map[string]any:
		have, _ := live.(map[string]any)
		if slices.Contains(atomic, key) && plain(want) && len(have) > len(want) {
			*paths = append(*paths, at)
			return
		}
		compareMaps(at, have, want, paths)
		if live == nil && len(want) == 0 {
			return // an empty struct, which the API server may leave out
		}
	case []any:
		have, _ := live.([]any)
		if !slices.Contains(merged, key) && len(have) != len(want) {
			*paths = append(*paths, at)
			return
		}
		for i, w := range want {
			if !containsMatch(have, w, i) {
				*paths = append(*paths, at)
				return
			}
		}
	default:
		if !equalLeaf(live, intent) {
			*paths = append(*paths, at)
		}
	}
}

// plain reports whether a map holds nothing but plain values.
func plain(m map[string]any) bool {
	for _, v := range m {
		switch v.(type) {
		case map[string]any, []any:
			return false
		}
	}
	return true
}

// containsMatch looks for want in a list: at its place when it is a scalar, anywhere when it is an object.
func containsMatch(have []any, want any, i int) bool {
	w, ok := want.(map[string]any)
	if !ok {
		return i < len(have) && equalLeaf(have[i], want)
	}
	return slices.ContainsFunc(have, func(h any) bool {
		m, ok := h.(map[string]any)
		return ok && len(difference(m, w)) == 0
	})
}

// equalLeaf compares scalars, and quantities by their value: 1024Mi is 1Gi.
func equalLeaf(live, intent any) bool {
	if reflect.DeepEqual(live, intent) || fmt.Sprint(live) == fmt.Sprint(intent) {
		return true
	}
	a, okA := live.(string)
	b, okB := intent.(string)
	if !okA || !okB {
		return false
	}
	qa, errA := resource.ParseQuantity(a)
	qb, errB := resource.ParseQuantity(b)
	return errA == nil && errB == nil && qa.Cmp(qb) == 0
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// changes says in a few words what applying intent changes: the image with both values, all else by its name.
func changes(live, intent *unstructured.Unstructured) string {
	was, now := image(live), image(intent)
	var said []string
	if was != now && was != "" && now != "" {
		said = append(said, fmt.Sprintf("image %s → %s", was, now))
	}
	for _, at := range difference(live.Object, intent.Object) {
		name := at.last()
		switch {
		case name == names.AppliedAnnotation || (name == "containers" && len(said) > 0):
			continue
		case name == names.ConfigAnnotation:
			name = "configuration"
		case at.within("metadata", "labels"):
			name = "labels"
		case at.within("metadata", "annotations"):
			name = "annotations"
		}
		if !slices.Contains(said, name) {
			said = append(said, name)
		}
	}
	if len(said) > 6 {
		said = append(said[:6], "…")
	}
	if len(said) == 0 {
		return ""
	}
	return ": " + strings.Join(said, ", ")
}

// image finds the image of a Deployment's first container.
func image(u *unstructured.Unstructured) string {
	containers, _, _ := unstructured.NestedSlice(u.Object, "spec", "template", "spec", "containers")
	if len(containers) == 0 {
		return ""
	}
	c, _ := containers[0].(map[string]any)
	s, _ := c["image"].(string)
	return s
}
