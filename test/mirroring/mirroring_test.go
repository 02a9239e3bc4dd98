package mirroring

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/test/upstream"
)

// cluster are the first lines of the blocks that need a cluster; test/e2e has one.
var cluster = []string{
	"kubectl wait cratemirror crates-mirror --for=condition=Ready",
	"kubectl get cratemirrors",
	"kubectl create configmap app-lock --from-file Cargo.lock --dry-run=client -o yaml | kubectl apply --server-side -f -",
	"kubectl wait cratemirror crates-mirror --for=condition=Synced --timeout=10m",
	`kubectl annotate cratemirror crates-mirror crateyard.dev/sync-requested-at="$(date)" --overwrite    # now, too`,
}

// before is what happens in the world before a block, by its first line.
var before = map[string]func(*machine){
	"(cd app && CARGO_HOME=$(mktemp -d) cargo fetch --locked --config ~/.cargo/config.toml)": func(m *machine) {
		m.cratesIO.Fail("", upstream.Down, -1) // "when crates.io is away"
	},
	"crateyard mirror create crates-mirror --spec mirror.yaml": func(m *machine) { m.cratesIO.Heal() },
	// A project from before the policy, and its lockfile; the mirror knows of its crates.
	"crateyard mirror try crates-mirror --spec policy.yaml": func(m *machine) {
		m.run(&block{text: "cargo new -q report && cd report && cargo add -q time@=0.2.22 hyper@=1.4.1 evil-json && cargo generate-lockfile && cargo remove -q evil-json && cargo generate-lockfile && cd .."})
	},
	"mkdir -p ~/inside && crateyard cargo-config --mirror crates-mirror > ~/inside/config.toml": func(m *machine) {
		m.cratesIO.Fail("", upstream.Down, -1) // there is no network
	},
	"crateyard serve --config config.yaml": func(m *machine) { m.cratesIO.Heal() },
}

func mirroringText(t *testing.T) []*block {
	t.Helper()
	text, err := os.ReadFile("../../docs/mirroring.md")
	if err != nil {
		t.Fatal(err)
	}
	return document(string(text))
}

var file = regexp.MustCompile(`^# ([a-z-]+\.yaml)`)

// Every example of docs/mirroring.md does what the text says.
func TestExamples(t *testing.T) {
	m := newMachine(t)
	var skipped, begun []string
	for _, b := range mirroringText(t) {
		first, _, _ := strings.Cut(b.text, "\n")
		name := file.FindStringSubmatch(first)
		if happens := before[first]; happens != nil {
			begun = append(begun, first)
			happens(m)
		}
		switch {
		case b.language == "yaml" && name != nil:
			m.write(name[1], m.here(b.text))
		case b.language != "sh":
		case slices.Contains(cluster, first):
			skipped = append(skipped, first)
		case strings.HasPrefix(first, "kubectl "):
			t.Fatalf("line %d: %s needs a cluster: say so in the test", b.line, first)
		case strings.HasPrefix(first, "crateyard serve"):
			m.serve(b)
		default:
			m.run(b)
		}
		if t.Failed() {
			return // what follows builds on it
		}
	}
	if !slices.Equal(skipped, cluster) || len(slices.Compact(slices.Sorted(slices.Values(begun)))) != len(before) {
		t.Errorf("the test knows of blocks that the text has not, or in another order: %q want %q; %q", skipped, cluster, begun)
	}
}

// Every manifest in the text is one of ours, with fields that there are.
func TestManifests(t *testing.T) {
	known := map[string]any{"CrateMirror": &v1alpha1.CrateMirror{}, "Registry": &v1alpha1.Registry{}, "Secret": &corev1.Secret{}}
	mirrors := 0
	for _, b := range mirroringText(t) {
		if b.language != "yaml" || file.MatchString(b.text) {
			continue
		}
		for _, text := range strings.Split(b.text, "---\n") {
			var kind metav1.TypeMeta
			if err := yaml.Unmarshal([]byte(text), &kind); err != nil {
				t.Fatalf("line %d: %v", b.line, err)
			}
			object := known[kind.Kind]
			if object == nil {
				t.Fatalf("line %d: what is a %q?", b.line, kind.Kind)
			}
			if err := yaml.UnmarshalStrict([]byte(text), object); err != nil {
				t.Errorf("line %d: %v", b.line, err)
			}
			if kind.Kind == "CrateMirror" {
				mirrors++
			}
		}
	}
	if mirrors < 8 {
		t.Errorf("there are only %d CrateMirrors", mirrors)
	}
}

func TestDocument(t *testing.T) {
	blocks := document("a\n```sh\nb\n```\n\n```text\nc\n```\n```toml\nd\n```\nx\n```text\ne\n```\n")
	if len(blocks) != 3 || blocks[0].text != "b\n" || blocks[0].line != 2 || blocks[0].output == nil || blocks[0].output.text != "c\n" || blocks[1].text != "d\n" || blocks[2].text != "e\n" {
		t.Errorf("%+v", blocks)
	}
	for _, tt := range []struct {
		want, got string
		ok        bool
	}{
		{"a  b\n", "a b", true}, {"", "", true}, {"", "a", false}, {"a", "a\nb", false}, {"…\nb\n", "b\n", true}, {"…\nb\n", "a\nc\nb\n", true}, {"…\nb\n", "a\nb\nc\n", false},
		{"at … end", "at any (x) end", true}, {"1.5 KiB in 2m3s at 2026-01-31T03:00:00Z", "7 B in 4ms at 2027-02-01T01:02:03.4Z", true}, {"3 failed", "4 failed", false},
		{" Downloaded a\n Downloaded b\n", "Downloaded b\nDownloaded a\n", true}, {"b\na\n", "a\nb\n", false},
	} {
		if prints(tt.want, tt.got) != tt.ok {
			t.Errorf("%q and %q: %v", tt.want, tt.got, !tt.ok)
		}
	}
	for text, fails := range map[string]bool{"error: x\n": true, "a\ncrateyard: x\n": true, "a error: x\n": false} {
		if b := (block{output: &block{text: text}}); b.fails() != fails {
			t.Errorf("%q", text)
		}
	}
}
