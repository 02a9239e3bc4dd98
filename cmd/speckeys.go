package cmd

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// explain says of a YAML text that does not fit into a value of type t where it does not, and what to write there; nil: it does not know. The keys are
// those of JSON.
func explain(text []byte, t reflect.Type) error {
	var doc yaml.Node
	if yaml.Unmarshal(text, &doc) != nil || len(doc.Content) != 1 {
		return nil
	}
	if root := doc.Content[0]; root.Kind == yaml.MappingNode && len(root.Content) > 0 && root.Content[0].Value == "apiVersion" {
		return fmt.Errorf("this is a resource for `kubectl apply`; here stands what a mirror is, without apiVersion, kind and metadata, and with other names of keys")
	}
	return explainNode(doc.Content[0], t, "")
}

func explainNode(n *yaml.Node, t reflect.Type, path string) error {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("line %d: %s: %s", n.Line, path, fmt.Sprintf(format, args...))
	}
	if n.Tag == "!!null" {
		return nil
	}
	if v, ok := reflect.New(t).Interface().(encoding.TextUnmarshaler); ok {
		if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
			if err := v.UnmarshalText([]byte(n.Value)); err != nil {
				return wrong("%v", err)
			}
			return nil
		}
		return wrong("write a text with a unit, such as 72h")
	}
	switch t.Kind() {
	case reflect.Struct:
		return explainObject(n, t, path)
	case reflect.Slice:
		switch {
		case n.Kind == yaml.ScalarNode && t.Elem().Kind() == reflect.String:
			return wrong("it is a list: write [%q]", n.Value)
		case n.Kind != yaml.SequenceNode:
			return wrong("it is a list: write each entry on a line of its own, with - before it")
		}
		for i, entry := range n.Content {
			if err := explainNode(entry, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case reflect.String:
		if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
			return wrong("it is a text: write %q, in quotes", n.Value)
		}
	case reflect.Bool:
		if n.Tag != "!!bool" {
			return wrong("write true or false")
		}
	case reflect.Int, reflect.Int64:
		if n.Tag == "!!int" {
			return nil
		}
		var bytes size
		if n.Kind == yaml.ScalarNode && bytes.Set(n.Value) == nil && strings.Contains(path, "size") {
			return wrong("it is a number of bytes: write %s", strconv.FormatInt(int64(bytes), 10))
		}
		return wrong("it is a number, without quotes and without a unit")
	}
	return nil
}

func explainObject(n *yaml.Node, t reflect.Type, path string) error {
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: %s: it has keys of its own: %s", n.Line, firstOf(path, "a spec"), strings.Join(keysOf(t), ", "))
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		below := strings.TrimPrefix(path+"."+key, ".")
		keys := keysOf(t)
		at := slices.IndexFunc(keys, func(k string) bool { return strings.EqualFold(k, key) }) // as encoding/json has it
		switch snake := snakeCase(key); {
		case key == "<<": // what it merges in is not looked at
		case at >= 0:
			if err := explainNode(n.Content[i+1], t.Field(at).Type, below); err != nil {
				return err
			}
		case slices.Contains(keys, snake):
			return fmt.Errorf("line %d: %s: so it is spelled in a CrateMirror; here it is %s", n.Content[i].Line, below, snake)
		default:
			return fmt.Errorf("line %d: %s: there is no such key; here are %s", n.Content[i].Line, below, strings.Join(keys, ", "))
		}
	}
	return nil
}

// keysOf gives the keys that an object of a type may have, in the order of its fields.
func keysOf(t reflect.Type) (keys []string) {
	for i := range t.NumField() {
		key, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		keys = append(keys, key)
	}
	return keys
}

// snakeCase gives minimum_age for minimumAge, and ca_bundle for caBundle.
func snakeCase(key string) string {
	var b strings.Builder
	for _, r := range key {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
