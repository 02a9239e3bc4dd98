package cmd

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// fits reports the first thing in v, as JSON or YAML give it, that does not fit into a type, by its path: an unknown key, with the right one where one
// is close, or a value of the wrong kind. Types that have a text of their own say themselves what is wrong with it.
func fits(path string, v any, t reflect.Type) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case v == nil:
		return nil
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
	case t.Kind() == reflect.Struct:
		keys, ok := v.(map[string]any)
		if !ok {
			return fmt.Errorf("%s: it must be keys and values, such as %s", orAll(path), keysOf(t)[0]+": …")
		}
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			field, ok := fieldOf(t, key)
			if !ok {
				return unknown(path, key, t)
			}
			if err := fits(strings.TrimPrefix(path+"."+key, "."), keys[key], field); err != nil {
				return err
			}
		}
		return nil
	case t.Kind() == reflect.Slice:
		list, ok := v.([]any)
		if !ok {
			return fmt.Errorf("%s: it must be a list, such as [a, b]", path)
		}
		for i, element := range list {
			if err := fits(fmt.Sprintf("%s[%d]", path, i), element, t.Elem()); err != nil {
				return err
			}
		}
		return nil
	}
	text, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(text, reflect.New(t).Interface())
	}
	if _, kind := errors.AsType[*json.UnmarshalTypeError](err); kind {
		if said, ok := v.(string); ok && strings.HasSuffix(path, "_size") { // in a CrateMirror it would be right
			var n size
			if n.Set(said) == nil {
				return fmt.Errorf("%s: it must be bytes, %d, and is %s", path, int64(n), text)
			}
			return fmt.Errorf("%s: it must be a whole number of bytes, and is %s", path, text)
		}
		return fmt.Errorf("%s: it must be %s, and is %s", path, kindText(t), text)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func orAll(path string) string {
	if path == "" {
		return "all of it"
	}
	return path
}

func kindText(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		if t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
			return "a time, such as 12h or 90d"
		}
		return "a whole number"
	}
	return "a text, in quotes where it looks like something else"
}

// keysOf lists the keys of a struct in JSON.
func keysOf(t reflect.Type) (keys []string) {
	for i := range t.NumField() {
		key, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		keys = append(keys, key)
	}
	return keys
}

func fieldOf(t reflect.Type, key string) (reflect.Type, bool) {
	i := slices.Index(keysOf(t), key)
	if i < 0 {
		return nil, false
	}
	return t.Field(i).Type, true
}

// unknown says that there is no such key, and which was probably meant: one of that place that is written like it, or the same one of a place below.
func unknown(path, key string, t reflect.Type) error {
	in := func(place, key string) string { return strings.TrimPrefix(place+"."+key, ".") }
	near, least := "", 1+len(key)/3
	for _, known := range keysOf(t) {
		if d := distance(plainKey(key), plainKey(known)); d < least {
			near, least = in(path, known), d
		}
	}
	for i, part := range keysOf(t) {
		below := t.Field(i).Type
		if near == "" && below.Kind() == reflect.Struct && slices.Contains(keysOf(below), key) {
			near = in(path, part+"."+key)
		}
	}
	if near != "" {
		return fmt.Errorf("there is no %s; is it %s?", in(path, key), near)
	}
	return fmt.Errorf("there is no %s; there are %s", in(path, key), strings.Join(keysOf(t), ", "))
}

// plainKey is a key without what sets one way of writing it apart from another: minimumAge, minimum-age, minimum_age.
func plainKey(key string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(key))
}

// distance is how many letters must be put in, taken out or changed to make b of a (Levenshtein's).
func distance(a, b string) int {
	before := make([]int, len(b)+1)
	for j := range before {
		before[j] = j
	}
	for i := range len(a) {
		now := append(make([]int, 0, len(b)+1), i+1)
		for j := range len(b) {
			change := before[j]
			if a[i] != b[j] {
				change++
			}
			now = append(now, min(change, before[j+1]+1, now[j]+1))
		}
		before = now
	}
	return before[len(b)]
}
