package mirroring

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/test/upload"
)

// sample is a version of a crate that upstream has. The text names real ones; what is in them here is made up.
type sample struct {
	name, version string
	license       string   // MIT OR Apache-2.0 when left out
	deps          []string // name and requirement
	age           time.Duration
	yanked        bool
	size          int // of what does not compress
}

const year = 365 * 24 * time.Hour

func cratesIO() []sample {
	return []sample{
		{name: "itoa", version: "1.0.14", age: 2 * year}, {name: "itoa", version: "1.0.15", age: year},
		{name: "ryu", version: "1.0.20", age: year},
		{name: "serde", version: "1.0.217", age: 3 * year}, {name: "serde", version: "1.0.218", age: 2 * year}, {name: "serde", version: "1.0.219", age: year},
		{name: "serde_json", version: "1.0.140", deps: []string{"itoa ^1", "ryu ^1", "serde ^1"}, age: year},
		{name: "anyhow", version: "1.0.98", age: year}, {name: "anyhow", version: "1.0.99", age: 2 * time.Hour},
		{name: "time", version: "0.2.22", age: 6 * year}, {name: "time", version: "0.2.27", age: 5 * year},
		{name: "tokio", version: "1.40.0", age: year},
		{name: "hyper", version: "1.4.1", age: 2 * year}, {name: "hyper", version: "1.5.0", age: year, yanked: true},
		{name: "gpl-parser", version: "0.3.0", license: "GPL-3.0-only", age: year},
		{name: "evil-json", version: "0.1.0", age: year},
		{name: "big-model", version: "0.1.0", age: year, size: 6 << 20},
	}
}

const advisory = "```toml\n[advisory]\nid = \"RUSTSEC-2020-0071\"\npackage = \"time\"\ndate = \"2020-11-18\"\ncvss = \"CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:H\"\n" +
	"aliases = [\"CVE-2020-26235\"]\n[versions]\npatched = [\">= 0.2.23\"]\n```\n\n# Potential segfault in the time crate\n"

// fill has a server hold samples, published when they say.
func fill(t *testing.T, url, token string, samples []sample) {
	t.Helper()
	c := client.New(url, token)
	for _, s := range samples {
		if s.license == "" {
			s.license = "MIT OR Apache-2.0"
		}
		manifest := fmt.Sprintf("[package]\nname = %q\nversion = %q\nedition = \"2021\"\nlicense = %q\n\n[dependencies]\n", s.name, s.version, s.license)
		deps := []any{}
		for _, d := range s.deps {
			name, req, _ := strings.Cut(d, " ")
			manifest += fmt.Sprintf("%s = %q\n", name, req)
			deps = append(deps, map[string]any{"name": name, "version_req": req, "features": []string{}, "optional": false, "default_features": true, "target": nil, "kind": "normal"})
		}
		metadata, err := json.Marshal(map[string]any{"name": s.name, "vers": s.version, "deps": deps, "features": map[string]any{}, "license": s.license})
		if err != nil {
			t.Fatal(err)
		}
		files := map[string][]byte{"Cargo.toml": []byte(manifest), "src/lib.rs": []byte("//! A sample.\n")}
		if s.size > 0 {
			noise := make([]byte, s.size)
			r := rand.NewChaCha8([32]byte{})
			_, _ = r.Read(noise) // it never fails
			files["model.bin"] = noise
		}
		v := client.ImportedVersion{Metadata: metadata, Archive: upload.Archive(s.name, s.version, files), Yanked: s.yanked}
		if s.age > 0 {
			v.PublishedAt = time.Now().Add(-s.age)
		}
		if err := c.ImportVersion(t.Context(), v); err != nil {
			t.Fatalf("%s %s: %v", s.name, s.version, err)
		}
	}
}
