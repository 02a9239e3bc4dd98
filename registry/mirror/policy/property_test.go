package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/wire"
)

// The policy of these tests asks for every field of a line.
var (
	strict  = wire.MirrorPolicy{Deny: []string{"evil*", "a@<1.0.0"}, Yanked: "Deny", MinimumAge: 72 * hour}
	options = Options{Now: now, Cached: func(_, sum string) bool { return sum != "absent" }}
)

// reference reads a line with encoding/json, as strictly as cargo: it is not ok where cargo passes over the line. denied is what strict means.
func reference(line []byte) (keys map[string]json.RawMessage, denied, ok bool) {
	if !json.Valid(line) {
		return nil, false, false
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	if t, _ := dec.Token(); t != json.Delim('{') {
		return nil, false, false
	}
	keys = map[string]json.RawMessage{}
	for dec.More() {
		key, _ := dec.Token()
		var value json.RawMessage
		if dec.Decode(&value) != nil || keys[key.(string)] != nil {
			return nil, false, false
		}
		keys[key.(string)] = value
	}
	get := func(key string) (string, bool) {
		s, ok := "", len(keys[key]) > 0 && keys[key][0] == '"' && utf8.Valid(keys[key])
		if ok {
			ok = json.Unmarshal(keys[key], &s) == nil
		}
		return s, ok
	}
	name, ok1 := get("name")
	vers, ok2 := get("vers")
	sum, ok3 := get("cksum")
	yanked := string(keys["yanked"])
	if !ok1 || !ok2 || !ok3 || name == "" || vers == "" || yanked != "" && yanked != "null" && yanked != "true" && yanked != "false" {
		return nil, false, false
	}
	if strings.Trim(name+vers, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+") != "" {
		return nil, false, false
	}
	pubtime, _ := get("pubtime")
	at, err := time.Parse(index.PubTimeLayout, pubtime)
	young := err != nil || len(pubtime) != 20 || at.Add(72*time.Hour).After(now)
	evil := strings.HasPrefix(strings.ToLower(name), "evil")
	low := strings.EqualFold(name, "a") && !strings.HasPrefix(vers, "1.") // of the versions that are drawn
	return keys, young || evil || low || yanked == "true" || sum == "absent", true
}

// check holds the file that a policy makes of lines against the reference.
func check(t interface{ Errorf(string, ...any) }, file []byte, versions bool) {
	p, err := Compile(strict)
	if err != nil {
		t.Errorf("%v", err)
		return
	}
	before := bytes.Clone(file)
	res := p.Filter(file, options)
	if !bytes.Equal(file, before) {
		t.Errorf("the file was changed")
	}
	in, out := bytes.Split(file, []byte("\n")), bytes.Split(res.File, []byte("\n"))
	if len(in) != len(out) {
		t.Errorf("%d lines became %d", len(in), len(out))
		return
	}
	count, denials, others := 0, 0, 0 // lines that cargo takes, those that are denied, and other lines
	for i := range in {
		keys, denied, ok := reference(in[i])
		after, _, still := reference(out[i])
		d := p.Version(in[i], options)
		switch {
		case !ok: // cargo does not take it, before or after
			others++
			_, array := spoil(in[i])
			if still || !array && json.Valid(in[i]) != json.Valid(out[i]) || array && json.Valid(out[i]) {
				t.Errorf("%q became %q", in[i], out[i])
			}
			continue
		case !versions && d != nil && d.Rule == RuleDeny: // what low means is known of drawn versions only
			denied = true
		case !versions && d == nil:
			denied = false
		}
		count++
		if (d != nil) != denied {
			t.Errorf("%q alone is denied: %v", in[i], d)
		}
		if !denied {
			if !bytes.Equal(in[i], out[i]) {
				t.Errorf("%q became %q", in[i], out[i])
			}
			continue
		}
		denials++
		if string(after["yanked"]) != "true" {
			t.Errorf("%q is denied and served as %q", in[i], out[i])
		}
		delete(keys, "yanked")
		delete(after, "yanked")
		if fmt.Sprint(keys) != fmt.Sprint(after) {
			t.Errorf("%q lost or gained something: %q", in[i], out[i])
		}
		if !differInAWord(in[i], out[i]) {
			t.Errorf("%q differs in more than a word from %q", in[i], out[i])
		}
	}
	if versions && (res.Versions < count || res.Versions > count+others || len(res.Denied) < denials || len(res.Denied) > denials+others) {
		t.Errorf("%d versions and %d denials, want %d and %d, and at most %d more", res.Versions, len(res.Denied), count, denials, others)
	}
	if again := p.Filter(res.File, options); others == 0 && len(again.File) > 0 && &again.File[0] != &res.File[0] {
		t.Errorf("filtering twice changes more")
	}
}

// differInAWord reports whether two lines are equal but for one place: a value of yanked, or the place where the member came in.
func differInAWord(a, b []byte) bool {
	same := 0
	for same < min(len(a), len(b)) && a[same] == b[same] {
		same++
	}
	a, b = a[same:], b[same:]
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return len(a) <= len("false") && len(b) <= len(`,"yanked":true`)
}

// drawLine makes a line in one of the many ways in which JSON can say it, some of which cargo does not take.
func drawLine(t *rapid.T) string {
	space := func() string { return rapid.SampledFrom([]string{"", "", "", " ", "\t", "  "}).Draw(t, "space") }
	pick := func(label string, from ...string) string { return rapid.SampledFrom(from).Draw(t, label) }
	members := [][2]string{
		{`name`, pick("name", `"a"`, `"b"`, `"evil-x"`, `"Evil"`, `"\u0061"`, `""`, `null`, `"a b"`)},
		{`vers`, pick("vers", `"1.0.0"`, `"0.9.0"`, `"0.1.0-rc.1"`, `"1.2.3+b"`, `"1.0\u002e0"`, `1`)},
		{`cksum`, pick("cksum", `"abc"`, `"absent"`, `"abc"`)},
	}
	add := func(key string, values ...string) {
		if v := pick(key, values...); v != "-" {
			members = append(members, [2]string{key, v})
		}
	}
	add("deps", `[]`, `[{"name":"yanked","req":"^1","target":"cfg(x = \"y\")"}]`, `[{"yanked":false},{"vers":"9"},"]}"]`, `"-"`, "-")
	add("features", `{}`, `{"yanked":["false"]}`, `{"a\"yanked":["\\"]}`, `{"x":["\\\\\"","{"]}`, "-")
	add("yanked", `false`, `false`, `true`, `null`, `"false"`, "-")
	add("pubtime", `"2020-01-01T00:00:00Z"`, `"2020-01-01T00:00:00Z"`, `"2026-11-29T00:00:00Z"`, `"2020-01-01T00:00:00.5Z"`, `null`, "-")
	add("v", `2`, `1.5e-3`, `[[{"pubtime":"2020-01-01T00:00:00Z","yanked":true}]]`, "-")
	add(`x\"yanked`, `false`, "-", "-", "-")
	add("yanked", "-", "-", "-", "-", "-", "-", "-", "false", "true") // twice
	if rapid.Bool().Draw(t, "shuffled") {
		members = rapid.Permutation(members).Draw(t, "order")
	}
	var b strings.Builder
	b.WriteString(space() + "{" + space())
	for i, m := range members {
		if i > 0 {
			b.WriteString(space() + "," + space())
		}
		key := m[0]
		if rapid.IntRange(0, 9).Draw(t, "escaped") == 0 && key[0] != 'x' {
			key = fmt.Sprintf(`\u%04x%s`, key[0], key[1:])
		}
		b.WriteString(`"` + key + `"` + space() + ":" + space() + m[1])
	}
	line := b.String() + space() + pick("end", "}", "}", "}", "}", "}", ",}", "", "}}") + pick("behind", "", "", "", "\r", " ")
	if rapid.IntRange(0, 19).Draw(t, "cut") == 0 {
		line = line[:rapid.IntRange(0, len(line)).Draw(t, "at")]
	}
	return line
}

func TestFilterProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(rapid.Custom(drawLine), 0, 6).Draw(t, "lines")
		check(t, []byte(strings.Join(lines, "\n")+rapid.SampledFrom([]string{"", "\n", "\n\n"}).Draw(t, "newline")), true)
	})
}

// Of any bytes: what cargo takes and is not denied stays, what is denied is yanked and else the same, and the rest stays what cargo does not take.
func FuzzFilter(f *testing.F) {
	f.Add([]byte(old("a", "0.5.0") + "\n" + old("evil", "1.0.0") + "\r\n" + old("b", "1.0.0")))
	for _, s := range []string{`{"name":"evil","vers":"1.0.0","cksum":"x"}`, `{"name":"evil","vers":"1.0.0","cksum":"x","yanked" : null ,"x":"\\\""}`, `{"cksum":"","y\u0061nked":false,"name":"evil","vers":"1.0.0","d":[{"yanked":false}]}`,
		`{"name":"evil","vers":"1.0.0","cksum":"x","a\"yanked":false}`, "{}", "[]", `{"":""}`, `{"a":"\\"}`, "\n\n", "{\"name\":\"a\",\"vers\":\"1.0.0\",\"cksum\":\"x\",\"pubtime\":\"2020-01-01T00:00:00Z\",\"yanked\":false}\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, file []byte) { check(t, file, false) })
}

// Reading a line from both ends finds what a whole reading finds, whatever is wanted.
func FuzzRead(f *testing.F) {
	f.Add([]byte(old("a", "0.5.0")), uint8(31))
	f.Add([]byte(`{"yanked":true,"d":["\\",{"a":"}"}],"cksum":"x","vers":"1","name":"a"}`), uint8(20))
	f.Fuzz(func(t *testing.T, text []byte, want uint8) {
		keys, _, ok := reference(text)
		if !ok || !utf8.Valid(text) {
			return
		}
		l, ok := read(text, field(want)|fieldName|fieldVers)
		if !ok {
			t.Fatalf("%q is not read", text)
		}
		for key, got := range map[string]struct {
			field field
			text  []byte
		}{"name": {fieldName, l.name}, "vers": {fieldVers, l.vers}, "cksum": {fieldCksum, l.cksum}, "pubtime": {fieldPubtime, l.pubtime}} {
			var s string
			_ = json.Unmarshal(keys[key], &s) // another type is none
			if l.found&got.field != 0 && s != string(got.text) || field(want)&got.field&^l.found != 0 && keys[key] != nil {
				t.Errorf("%s of %q is %q, want %q", key, text, got.text, s)
			}
		}
		if field(want)&fieldYanked != 0 && l.yanked != (string(keys["yanked"]) == "true") {
			t.Errorf("yanked of %q: %v", text, l.yanked)
		}
	})
}
