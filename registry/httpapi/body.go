package httpapi

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/crateyard/crateyard/registry/fault"
)

// maxBody bounds the JSON body of every request but a publish.
const maxBody = 64 << 10

// readJSON reads a JSON body whole; a DELETE may have one, too. What could mean another thing than its sender believes is refused, for it could
// widen a right: unknown fields, a field twice or in another spelling, text behind the value.
func readJSON(r *http.Request, into any) error { return readJSONOf(r, into, maxBody) }

// readJSONOf is readJSON for a body of another length.
func readJSONOf(r *http.Request, into any, most int) error {
	data, err := io.ReadAll(io.LimitReader(r.Body, int64(most)+1))
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "the request's body was cut off")
	}
	if len(data) > most {
		return fault.New(fault.TooLarge, "the request's body has more than %d bytes", most)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	err = dec.Decode(into)
	if err == nil {
		err = checkKeys(json.NewDecoder(bytes.NewReader(data)), reflect.TypeOf(into))
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		kind, _, _ := strings.Cut(wrong.Value, " ") // "number 1.5"
		return fault.New(fault.Invalid, "the request's body is not the JSON expected here: %s: it must be %s, and is %s", cmp.Or(wrong.Field, "all of it"), kindText(wrong.Type), kind)
	}
	if err != nil {
		return fault.New(fault.Invalid, "the request's body is not the JSON expected here: %v", err)
	}
	return nil
}

// kindText says in words what a value of a type is in JSON.
func kindText(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()), t.Kind() == reflect.String:
		return "a string"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Slice:
		return "an array"
	case t.Kind() == reflect.Struct, t.Kind() == reflect.Map:
		return "an object"
	}
	return "a whole number"
}

// checkKeys reports a key that is not spelled as its field is, since encoding/json finds a field in any case and other readers do not; a key that comes
// twice in one object; and what stands behind the value. Of a type that reads its JSON itself only the latter two.
func checkKeys(dec *json.Decoder, into reflect.Type) error {
	if err := checkValue(dec, into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more behind it")
	}
	return nil
}

func checkValue(dec *json.Decoder, into reflect.Type) error {
	open, err := dec.Token()
	if err != nil {
		return err
	}
	if open != json.Delim('{') && open != json.Delim('[') {
		return nil
	}
	inner := innerOf(into)
	keys := map[string]bool{}
	for dec.More() {
		of := inner.all
		if open == json.Delim('{') {
			token, err := dec.Token()
			if err != nil {
				return err
			}
			key, _ := token.(string) // Decode has found it sound
			if keys[key] {
				return fmt.Errorf("key %.80q comes twice", key)
			}
			keys[key] = true
			if inner.fields != nil {
				field, ok := inner.fields[key]
				if !ok { // Decode has refused what is no field in any spelling
					return fmt.Errorf("key %.80q must be spelled as here: %s", key, strings.Join(slices.Sorted(maps.Keys(inner.fields)), ", "))
				}
				of = field
			}
		}
		if err := checkValue(dec, of); err != nil {
			return err
		}
	}
	_, err = dec.Token() // the closing one
	return err
}

// innerTypes are what the values in an object or array are read into: all into one type, or by the keys of a struct. nil: nobody knows.
type innerTypes struct {
	all    reflect.Type
	fields map[string]reflect.Type
}

var readsItself = reflect.TypeFor[json.Unmarshaler]()

func innerOf(t reflect.Type) (inner innerTypes) {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || reflect.PointerTo(t).Implements(readsItself) {
		return inner
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map:
		inner.all = t.Elem()
	case reflect.Struct:
		inner.fields = map[string]reflect.Type{}
		for f := range t.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			inner.fields[cmp.Or(name, f.Name)] = f.Type
		}
	}
	return inner
}
