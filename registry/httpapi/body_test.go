package httpapi

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry/fault"
)

func TestReadJSONRefusesWhatIsAmbiguous(t *testing.T) {
	for body, want := range map[string]string{
		`{"name":"ci","scopes":["read"]}`:                                 "",
		" {\"name\":\"ci\",\"scopes\":[]} \n":                             "",
		`{"name":"ci","scopes":["read"],"scopes":[]}`:                     `"scopes" comes twice`,
		`{"name":"ci","scopes":["read"],"ſcopes":[]}`:                     `"ſcopes" comes twice`,
		`{"name":"ci","Scopes":["read"],"scopes":[]}`:                     `"scopes" comes twice`,
		`{"name":"ci","inner":{"a":[{"b":1,"c":2},{"b":1,"b":2}]}}`:       `"b" comes twice`,
		`{"name":"ci"}{"name":"x"}`:                                       "more behind it",
		`{"name":"ci"} x`:                                                 "more behind it",
		`{"name":"ci","scope":["read"]}`:                                  "unknown field",
		`{"name":"ci"`:                                                    "unexpected EOF",
		"":                                                                "EOF",
		strings.Repeat("[", 20_000):                                       "depth",
		`{"name":"` + strings.Repeat("a", maxBody) + `"}`:                 "more than",
		`{"name":"ci","inner":{"a":[{"b":1},{"b":2}]},"scopes":["read"]}`: "",
	} {
		var into struct {
			Name   string
			Scopes []string
			Inner  map[string]any
		}
		err := readJSON(httptest.NewRequest("POST", "/", strings.NewReader(body)), &into)
		if want == "" != (err == nil) || err != nil && (!strings.Contains(err.Error(), want) || fault.KindOf(err) != fault.Invalid && fault.KindOf(err) != fault.TooLarge) {
			t.Errorf("%.60s: %v", body, err)
		}
	}
}
