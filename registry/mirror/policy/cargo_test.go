package policy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry/wire"
)

// The real cargo never chooses what is denied, in whatever way a line says it; and it takes, or passes over, each of these lines as this
// package believes.
func TestCargo(t *testing.T) {
	t.Parallel()
	const values = `"deps":[],"cksum":"0000000000000000000000000000000000000000000000000000000000000000","features":{}`
	p := compile(t, wire.MirrorPolicy{Deny: []string{"sample@2"}})
	for name, tc := range map[string]struct {
		line  string
		taken bool
	}{
		"as crates.io":         {`{"name":"sample","vers":"2.0.0",` + values + `,"yanked":false,"v":2}`, true},
		"no key":               {`{"name":"sample","vers":"2.0.0",` + values + `}`, true},
		"no key, spaces":       {` { "name" : "sample" , "vers" : "2.0.0" , ` + values + ` } ` + "\r", true},
		"null":                 {`{"name":"sample","vers":"2.0.0",` + values + `,"yanked": null}`, true},
		"escaped key":          {`{"name":"sample","vers":"2.0.0",` + values + `,"y\u0061nked":false}`, true},
		"escaped name":         {`{"n\u0061me":"s\u0061mple","vers":"2.0\u002e0",` + values + `,"yanked":false}`, true},
		"key elsewhere":        {`{"name":"sample","vers":"2.0.0",` + values + `,"yanked":false,"x":{"yanked":false}}`, true},
		"key elsewhere only":   {`{"x":[{"yanked":false}],"name":"sample","vers":"2.0.0",` + values + `}`, true},
		"key in a text":        {`{"name":"sample","vers":"2.0.0",` + values + `,"yanked":false,"x":"\\\"yanked\":true"}`, true},
		"key with a quote":     {`{"name":"sample","vers":"2.0.0",` + values + `,"x\"yanked":true}`, true},
		"other order":          {`{"yanked":false,` + values + `,"vers":"2.0.0","name":"sample"}`, true},
		"no UTF-8":             {`{"name":"sample","vers":"2.0.0",` + values + `,"yanked":false,"x":"` + "\xff" + `"}`, true},
		"long version":         {`{"name":"sample","vers":"2.0.0+` + strings.Repeat("a", 200) + `",` + values + `,"yanked":false}`, true},
		"array":                {`["sample","2.0.0",[],{},null,"0000000000000000000000000000000000000000000000000000000000000000",false,null,null,null,null]`, true},
		"yanked":               {`{"name":"sample","vers":"2.0.0",` + values + `,"yanked":true}`, false},
		"twice":                {`{"name":"sample","vers":"2.0.0",` + values + `,"yanked":false,"yanked":false}`, false},
		"name twice":           {`{"name":"sample","vers":"2.0.0",` + values + `,"name":"sample"}`, false},
		"text":                 {`{"name":"sample","vers":"2.0.0",` + values + `,"yanked":"false"}`, false},
		"number":               {`{"name":"sample","vers":"2.0.0",` + values + `,"yanked":0}`, false},
		"comma at the end":     {`{"name":"sample","vers":"2.0.0",` + values + `,}`, false},
		"comma at the start":   {`{,"name":"sample","vers":"2.0.0",` + values + `}`, false},
		"more behind":          {`{"name":"sample","vers":"2.0.0",` + values + `}}`, false},
		"other space":          {"\f" + `{"name":"sample","vers":"2.0.0",` + values + `}`, false},
		"byte order mark":      {"\ufeff" + `{"name":"sample","vers":"2.0.0",` + values + `}`, false},
		"control in a text":    {`{"name":"sample","vers":"2.0.0",` + values + `,"x":"` + "\x01" + `"}`, false},
		"version with a space": {`{"name":"sample","vers":"2.0.0 ",` + values + `}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := fmt.Sprintf(`{"name":"sample","vers":"1.0.0",%s,"yanked":false}`+"\n%s\n", values, tc.line)
			if got := chosen(t, file); (got[0] == '2') != tc.taken {
				t.Errorf("upstream's file: cargo chooses %s", got)
			}
			res := p.Filter([]byte(file), Options{Now: now})
			if got := chosen(t, string(res.File)); got != "1.0.0" {
				t.Errorf("cargo chooses %s from\n%s", got, res.File)
			}
		})
	}
}

// chosen is the version of the crate sample that cargo takes for "*" when this is its index file.
func chosen(t *testing.T, file string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"Cargo.toml":                  "[package]\nname = \"asks\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[dependencies]\nsample = \"*\"\n",
		"src/lib.rs":                  "",
		".cargo/config.toml":          "[source.crates-io]\nreplace-with = \"here\"\n[source.here]\nlocal-registry = \"registry\"\n",
		"registry/index/sa/mp/sample": file,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("cargo", "generate-lockfile", "--offline")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lock, err := os.ReadFile(filepath.Join(dir, "Cargo.lock"))
	if err != nil {
		t.Fatal(err)
	}
	_, version, ok := strings.Cut(string(lock), "name = \"sample\"\nversion = \"")
	version, _, ended := strings.Cut(version, `"`)
	if !ok || !ended || version == "" {
		t.Fatalf("%s", lock)
	}
	return version
}
