package policy

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/mirror/advisory"
	"github.com/crateyard/crateyard/registry/wire"
)

// bigFile is the index file of a crate with 1,000 versions, each with ten dependencies, as crates.io writes it: 1.5 MB.
// The newest was published an hour ago, the others a day apart.
func bigFile() []byte {
	var b bytes.Buffer
	for i := range 1000 {
		fmt.Fprintf(&b, `{"name":"aws-sdk-sample","vers":"1.%d.0","deps":[`, i)
		for d := range 10 {
			if d > 0 {
				b.WriteByte(',')
			}
			target := "null"
			if d == 7 {
				target = `"cfg(all(target_arch = \"x86_64\", not(windows)))"`
			}
			fmt.Fprintf(&b, `{"name":"aws-part-%d","req":"^1.%d.2","features":[],"optional":%v,"default_features":true,"target":%s,"kind":"%s"}`,
				d, i, d%3 == 0, target, []string{"normal", "dev"}[d/7])
		}
		published := now.Add(-time.Hour - time.Duration(999-i)*24*time.Hour).Format(index.PubTimeLayout)
		fmt.Fprintf(&b, `],"cksum":"%064x","features":{"default":["rt","tls"],"rt":["aws-part-0","dep:aws-part-3"],"tls":["aws-part-6?/full"]},"yanked":%v,"rust_version":"1.82","pubtime":"%s","v":2}`+"\n",
			i, i%50 == 0, published)
	}
	return b.Bytes()
}

// BenchmarkFilter measures what a policy adds to a file of 1,000 versions. "copy and lines" is the least that any change of a file
// would take: a copy, and finding its lines.
func BenchmarkFilter(b *testing.B) {
	file := bigFile()
	db, problems := advisory.LoadFiles(map[string][]byte{
		"crates/x/A.md": []byte("```toml\n[advisory]\nid = \"A\"\npackage = \"aws-sdk-sample\"\n[versions]\npatched = [\">= 1.5.0\"]\n```\n# T\n"),
		"crates/x/B.md": []byte("```toml\n[advisory]\nid = \"B\"\npackage = \"aws-sdk-sample\"\n[versions]\npatched = [\">= 1.900.0, < 1.910.0\", \">= 1.912.0\"]\nunaffected = [\"< 1.899.0\"]\n```\n# T\n"),
	})
	if problems != nil {
		b.Fatal(problems)
	}
	facts := map[string]Facts{}
	cached := map[string]string{}
	for i := range 1000 {
		facts[fmt.Sprintf("1.%d.0", i)] = Facts{License: "MIT OR Apache-2.0", Size: 100_000}
		cached[fmt.Sprintf("1.%d.0", i)] = fmt.Sprintf("%064x", i)
	}
	all := wire.MirrorPolicy{
		Deny: []string{"evil-*", "aws-sdk-*@<1.3"}, MinimumAge: 72 * hour, MinimumAgeExceptions: []string{"our-*"}, Licenses: []string{"MIT"}, Yanked: "Deny", MaxCrateSize: 1 << 20,
		Advisories: &wire.MirrorAdvisories{Source: "/db"},
	}
	o := Options{Now: now, Advisories: db, Facts: func(v string) (Facts, bool) { f, ok := facts[v]; return f, ok }}
	pinned := o
	pinned.Cached = func(v, sum string) bool { return cached[v] == sum }
	b.Run("copy and lines", func(b *testing.B) {
		b.SetBytes(int64(len(file)))
		for b.Loop() {
			n := 0
			for range bytes.Lines(bytes.Clone(file)) {
				n++
			}
			if n != 1000 {
				b.Fatal(n)
			}
		}
	})
	for _, bench := range []struct {
		name   string
		policy wire.MirrorPolicy
		o      Options
		denied int
	}{
		{"names", wire.MirrorPolicy{Deny: []string{"evil-*"}}, o, 0},
		{"minimum age", wire.MirrorPolicy{MinimumAge: 72 * hour}, o, 3},
		{"all rules", all, o, 30},
		{"all rules, pinned", all, pinned, 30},
		{"all denied", wire.MirrorPolicy{MinimumAge: 36500 * day}, o, 1000},
	} {
		b.Run(bench.name, func(b *testing.B) {
			p, err := Compile(bench.policy)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(file)))
			b.ReportAllocs()
			for b.Loop() {
				if res := p.Filter(file, bench.o); len(res.Denied) != bench.denied {
					b.Fatal(len(res.Denied))
				}
			}
		})
	}
}

// The file that is measured is one that cargo would take, and most of it is dependencies.
func TestBigFile(t *testing.T) {
	file := bigFile()
	if len(file) < 1_000_000 || len(file) > 2_000_000 {
		t.Errorf("it has %d bytes", len(file))
	}
	for line := range bytes.Lines(file) {
		if _, _, ok := reference(bytes.TrimSpace(line)); !ok || strings.Count(string(line), `"req"`) != 10 {
			t.Fatalf("%s", line)
		}
	}
}
