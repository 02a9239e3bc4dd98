package cmd

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/crateyard/crateyard/registry/wire"
)

func TestConfirm(t *testing.T) {
	for answer, want := range map[string]string{
		"acme-http\n": "", " acme-http \n": "", "acme-http": "", // the last: end of input behind the name
		"yes\n": "that is not `acme-http`", "\n": "that is not `acme-http`", "": "no answer; say --yes",
	} {
		cmd := &cobra.Command{}
		var asked bytes.Buffer
		cmd.SetIn(strings.NewReader(answer))
		cmd.SetErr(&asked)
		err := confirm(cmd, "crate", "acme-http")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("answer %q: %v, want %q", answer, err, want)
		}
		if !strings.Contains(asked.String(), "This deletes crate acme-http for ever. Type its name") {
			t.Errorf("asked %q", asked.String())
		}
	}
}

func TestDifference(t *testing.T) {
	for _, tt := range []struct{ before, after, want string }{
		{"", "", "-"},
		{"", `{"size":10485760,"new":true}`, "new=true size=10485760"},
		{`{"members":["a"]}`, "", "members was a"},
		{`{"a":1,"gone":true}`, `{"a":2,"b":null,"c":"x y"}`, `a=1→2 b=- c="x y" gone was true`},
		{`{"members":["a","b"],"same":"x"}`, `{"members":[],"same":"x"}`, "members=a,b→-"},
	} {
		if got := difference(json.RawMessage(tt.before), json.RawMessage(tt.after)); got != tt.want {
			t.Errorf("%s %s: %s, want %s", tt.before, tt.after, got, tt.want)
		}
	}
}

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 2, 10, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"24h": "2026-02-09T12:00:00Z", "7d": "2026-02-03T12:00:00Z", "2026-01-31T00:00:00+01:00": "2026-01-30T23:00:00Z", "": "0001-01-01T00:00:00Z",
		"yesterday": "", "-1h": "", "2026-01-31": "",
	} {
		at, err := parseTime(text, now)
		if (err != nil) != (want == "") || err == nil && at.UTC().Format(time.RFC3339) != want {
			t.Errorf("%q: %v, %v; want %s", text, at, err, want)
		}
	}
}

// What the audit has of a crate in a mirror names the mirror, too.
func TestAuditNamesWhat(t *testing.T) {
	for want, r := range map[string]wire.AuditRecord{
		"m/serde":       {Action: "mirror.forget", Subject: "m", Crate: "serde"},
		"m/time@0.2.22": {Action: "mirror.deny", Subject: "m", Crate: "time", Version: "0.2.22"},
		"m":             {Action: "mirror.import", Subject: "m"},
		"acme@1.0.0":    {Action: "crate.publish", Crate: "acme", Version: "1.0.0"},
		"acme":          {Action: "crate.owners", Crate: "acme", Subject: "bob"},
	} {
		if got := what(r); got != want {
			t.Errorf("%+v is about %q", r, got)
		}
	}
}
