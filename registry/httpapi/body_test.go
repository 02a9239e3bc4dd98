package httpapi

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
)

func TestReadJSONRefusesWhatIsAmbiguous(t *testing.T) {
	type part struct {
		Yanked *bool `json:"yanked"`
	}
	for body, want := range map[string]string{
		`{"name":"ci","scopes":["read"]}`:             "",
		" {\"name\":\"ci\",\"scopes\":[]} \n":         "",
		`{"name":"ci","scopes":["read"],"scopes":[]}`: `"scopes" comes twice`,
		`{"name":"ci","scopes":["read"],"ſcopes":[]}`: `"ſcopes" must be spelled as here: at, inner, name, part, parts, scopes`,
		`{"name":"ci","Scopes":["read"],"scopes":[]}`: `"Scopes" must be spelled`,
		`{"Name":"ci"}`:                              `"Name" must be spelled`,
		`{"name":"ci","part":{"Yanked":true}}`:       `"Yanked" must be spelled as here: yanked`,
		`{"name":"ci","parts":[{},{"Yanked":true}]}`: `"Yanked" must be spelled as here: yanked`,
		`{"name":"ci","part":null,"parts":[{"yanked":true}],"at":"2026-01-31T00:00:00Z"}`: "",
		`{"name":"ci","inner":{"a":{"b":1,"B":2},"A":1}}`:                                 "",
		`{"name":"ci","inner":{"a":[{"b":1,"c":2},{"b":1,"b":2}]}}`:                       `"b" comes twice`,
		`{"name":"ci"}{"name":"x"}`:                                                       "more behind it",
		`{"name":"ci"} x`:                                                                 "more behind it",
		`{"name":"ci","scope":["read"]}`:                                                  "unknown field",
		`{"name":"ci"`:                                                                    "unexpected EOF",
		"":                                                                                "EOF",
		strings.Repeat("[", 20_000):                                                       "depth",
		`{"name":"` + strings.Repeat("a", maxBody) + `"}`:                                 "more than",
		`{"name":"ci","inner":{"a":[{"b":1},{"b":2}]},"scopes":["read"]}`: "",
	} {
		var into struct {
			Name   string         `json:"name"`
			Scopes []string       `json:"scopes"`
			Inner  map[string]any `json:"inner"`
			At     *time.Time     `json:"at"`
			Part   *part          `json:"part,omitempty"`
			Parts  []part         `json:"parts,omitempty"`
		}
		err := readJSON(httptest.NewRequest("POST", "/", strings.NewReader(body)), &into)
		if want == "" != (err == nil) || err != nil && (!strings.Contains(err.Error(), want) || fault.KindOf(err) != fault.Invalid && fault.KindOf(err) != fault.TooLarge) {
			t.Errorf("%.60s: %v", body, err)
		}
	}
}
