package crate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxDepth is how deep JSON may nest: the limit of Rust's serde_json.
const maxDepth = 128

// jsonReader reads JSON as Rust's serde does and encoding/json does not: keys are told apart by case, and no key may come
// twice. A value of a wrong type is a problem of its field; the reading goes on. Only what is no JSON at all is an error.
type jsonReader struct {
	dec   *json.Decoder
	p     *problems
	unfit []string // fields that could not be read
}

func newJSONReader(data []byte, p *problems) *jsonReader {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber() // a number that fits no float is no error where nobody reads it
	return &jsonReader{dec: dec, p: p}
}

// end reports text behind the value. What is said from here on leaves out the fields that could not be read.
func (r *jsonReader) end() error {
	r.p.mute(r.unfit)
	if _, err := r.dec.Token(); err != io.EOF {
		return fmt.Errorf("metadata has text after its JSON object")
	}
	return nil
}

// object reads an object: each key by its function, an unknown key not at all. Newer cargos add keys.
func (r *jsonReader) object(field string, keys map[string]func() error) error {
	return r.anyObject(field, func(key string) error {
		if read := keys[key]; read != nil {
			return read()
		}
		return r.skip()
	})
}

// anyObject reads an object whose keys are data.
func (r *jsonReader) anyObject(field string, read func(key string) error) error {
	if ok, err := r.open('{', field, "an object"); !ok {
		return err
	}
	seen := map[string]bool{}
	for r.dec.More() {
		t, err := r.dec.Token()
		if err != nil {
			return err
		}
		key, _ := t.(string) // the decoder gives nothing else for a key
		if seen[key] {
			r.wrong(field, "key %q comes twice", clip(key))
		}
		seen[key] = true
		if err := read(key); err != nil {
			return err
		}
	}
	_, err := r.dec.Token() // '}'
	return err
}

// list reads an array of at most so many values; the values beyond are counted and not kept.
func (r *jsonReader) list(field, things string, most int, read func() error) error {
	if ok, err := r.open('[', field, "an array"); !ok {
		return err
	}
	n := 0
	for ; r.dec.More(); n++ {
		next := read
		if n >= most {
			next = r.skip
		}
		if err := next(); err != nil {
			return err
		}
	}
	if n > most {
		r.wrong(field, "%d %s, the limit is %d", n, things, most)
	}
	_, err := r.dec.Token() // ']'
	return err
}

// open reads the delimiter that begins an object or array; another value is a problem.
func (r *jsonReader) open(delim json.Delim, field, what string) (bool, error) {
	t, err := r.dec.Token()
	if err != nil {
		return false, err
	}
	if t == delim {
		return true, nil
	}
	return false, r.other(t, field, what)
}

// other notes a value of another type than expected, and reads past it.
func (r *jsonReader) other(t json.Token, field, what string) error {
	if t == nil {
		r.wrong(field, "null, where cargo sends %s", what)
	} else {
		r.wrong(field, "it must be %s", what)
	}
	return r.skipFrom(t)
}

func (r *jsonReader) wrong(field, format string, args ...any) {
	r.p.add(field, format, args...)
	if i := strings.IndexAny(field, ".["); i > 0 {
		field = field[:i]
	}
	if !slices.Contains(r.unfit, field) {
		r.unfit = append(r.unfit, field)
	}
}

// text reads a string into to; where cargo sends null for "none", nullable says so.
func (r *jsonReader) text(field string, nullable bool, to *string) error {
	t, err := r.dec.Token()
	if err != nil {
		return err
	}
	s, ok := t.(string)
	switch {
	case ok && strings.Contains(s, "\x00"):
		r.wrong(field, "it has a NUL character")
	case ok:
		*to = s
	case t == nil && nullable:
	default:
		return r.other(t, field, "a text")
	}
	return nil
}

// texts reads an array of strings.
func (r *jsonReader) texts(field, things string, most int, to *[]string) error {
	return r.list(field, things, most, func() error {
		var s string
		err := r.text(field, false, &s)
		*to = append(*to, s)
		return err
	})
}

func (r *jsonReader) flag(field string, to *bool) error {
	t, err := r.dec.Token()
	if err != nil {
		return err
	}
	b, ok := t.(bool)
	if !ok {
		return r.other(t, field, "true or false")
	}
	*to = b
	return nil
}

// skip reads past one value.
func (r *jsonReader) skip() error {
	t, err := r.dec.Token()
	if err != nil {
		return err
	}
	return r.skipFrom(t)
}

// skipFrom reads past a value whose first token is read.
func (r *jsonReader) skipFrom(t json.Token) (err error) {
	for depth := 0; ; {
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
		if depth > maxDepth {
			return fmt.Errorf("it nests deeper than %d", maxDepth)
		}
		if t, err = r.dec.Token(); err != nil {
			return err
		}
	}
}
