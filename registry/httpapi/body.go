package httpapi

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"unicode"

	"github.com/crateyard/crateyard/registry/fault"
)

// maxBody bounds the JSON body of every request but a publish.
const maxBody = 64 << 10

// readJSON reads a JSON body whole; a DELETE may have one, too. What could mean another thing than its sender believes is refused, for it could
// widen a right: unknown fields, a field twice, text behind the value.
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
		err = checkOnce(json.NewDecoder(bytes.NewReader(data)))
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

// checkOnce reports a key that comes twice in one object, in any case since encoding/json finds a field in any, and what stands behind the value.
func checkOnce(dec *json.Decoder) error {
	if err := checkValue(dec); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more behind it")
	}
	return nil
}

// foldRune gives one rune for all that encoding/json takes for one in the name of a field.
func foldRune(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	return least
}

func checkValue(dec *json.Decoder) error {
	open, err := dec.Token()
	if err != nil {
		return err
	}
	if open != json.Delim('{') && open != json.Delim('[') {
		return nil
	}
	keys := map[string]bool{}
	for dec.More() {
		if open == json.Delim('{') {
			token, err := dec.Token()
			if err != nil {
				return err
			}
			key, _ := token.(string) // Decode has found it sound
			if folded := strings.Map(foldRune, key); keys[folded] {
				return fmt.Errorf("key %.80q comes twice", key)
			} else {
				keys[folded] = true
			}
		}
		if err := checkValue(dec); err != nil {
			return err
		}
	}
	_, err = dec.Token() // the closing one
	return err
}
