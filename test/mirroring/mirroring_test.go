package mirroring

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/serve"
	"github.com/crateyard/crateyard/test/upstream"
)

// cluster are the first lines of the blocks that need a cluster; test/e2e has one.
var cluster = []string{
	"kubectl wait cratemirror crates-mirror --for=condition=Ready --timeout=2m   # true once upstream has answered",
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
	// What a Meuse had cached.
	"crateyard import meuse --store /srv/meuse/crates --mirror crates-mirror       # or --store 's3://meuse?endpoint=https://s3.example.com&pathStyle=true'": func(m *machine) {
		for _, version := range []string{"1.0.14", "1.0.15"} {
			c := serve.NewClient(m.cratesIO.URL, "")
			defer c.Close()
			status, archive, err := c.Do("GET", "/crates/itoa/"+version+"/download", nil)
			if err != nil || status != 200 {
				m.t.Fatal(status, err)
			}
			m.write("meuse/crates/.crates.io/itoa/"+version+"/download", string(archive))
		}
	},
	"mkdir -p ~/inside && crateyard cargo-config --mirror crates-mirror > ~/inside/config.toml": func(m *machine) {
		m.cratesIO.Fail("", upstream.Down, -1) // there is no network
	},
	// What was cached is noted a moment later.
	"crateyard mirror status crates-mirror": func(m *machine) {
		m.run(&block{text: "for i in $(seq 200); do crateyard mirror status crates-mirror | grep -q '4 archives' && break; sleep 0.1; done"})
	},
	// So are denials, some at a time.
	"crateyard audit --action mirror.deny": func(m *machine) {
		m.run(&block{text: "for i in $(seq 200); do crateyard audit --action mirror.deny | grep -q time@ && break; sleep 0.1; done"})
	},
	"crateyard serve --config config.yaml": func(m *machine) { m.cratesIO.Heal() },
}

func text(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section gives the blocks below a heading.
func section(t *testing.T, file, heading string) []*block {
	t.Helper()
	_, below, found := strings.Cut(text(t, file), "\n"+heading+"\n")
	if !found {
		t.Fatalf("docs/%s has no %q", file, heading)
	}
	below, _, _ = strings.Cut(below, "\n## ")
	return document(below)
}

var file = regexp.MustCompile(`^# ([a-z-]+\.yaml)`)

// Every example of docs/mirroring.md does what the text says.
func TestExamples(t *testing.T) {
	m := newMachine(t)
	skipped, begun := m.runAll(document(text(t, "mirroring.md")))
	if !t.Failed() && (!slices.Equal(skipped, cluster) || begun != len(before)) {
		t.Errorf("the test knows of blocks that the text has not, or in another order: %q, want %q; %d, want %d", skipped, cluster, begun, len(before))
	}
}

// runAll runs blocks, and gives what it left out because it needs a cluster, and how many of before came.
func (m *machine) runAll(blocks []*block) (skipped []string, begun int) {
	m.t.Helper()
	seen := map[string]bool{}
	for _, b := range blocks {
		first, _, _ := strings.Cut(b.text, "\n")
		name := file.FindStringSubmatch(first)
		if happens := before[first]; happens != nil {
			seen[first] = true
			happens(m)
		}
		switch {
		case b.language == "yaml" && name != nil:
			m.write(name[1], m.here(b.text))
		case b.language != "sh":
		case slices.Contains(cluster, first):
			skipped = append(skipped, first)
		case strings.HasPrefix(first, "kubectl "):
			m.t.Fatalf("line %d: %s needs a cluster: say so in the test", b.line, first)
		case strings.HasPrefix(first, "crateyard serve"):
			m.serve(b)
		default:
			m.run(b)
		}
		if m.t.Failed() {
			break // what follows builds on it
		}
	}
	return skipped, len(seen)
}

// Every route of docs/api.md does what the text says.
func TestAPI(t *testing.T) {
	m := newMachine(t)
	m.serve(&block{text: "crateyard serve --data data"})
	m.replace("https://crates.example.com", "http://"+m.address)
	index := wire.IndexURL(m.cratesIO.URL)
	m.replace(`{"spec": {`, `{"spec": {"upstream": {"index": "`+index+`"}, `) // which is crates.io's when left out
	m.write("Cargo.lock", "version = 4\n\n[[package]]\nname = \"itoa\"\nversion = \"1.0.15\"\nsource = \""+index+"\"\nchecksum = \""+strings.Repeat("0", 64)+"\"\n")
	m.run(&block{text: "export CRATEYARD_TOKEN=$(cat data/admin-token)"})
	m.runAll(section(t, "api.md", "## Mirrors"))
	for _, route := range m.routes("/api/v1/mirrors") {
		if !strings.Contains(text(t, "api.md"), "| `"+route+"` |") {
			t.Errorf("docs/api.md does not tell of %s", route)
		}
	}
}

// routes are those that the server describes below a path, without /api/v1.
func (m *machine) routes(below string) (list []string) {
	m.t.Helper()
	c := serve.NewClient("http://"+m.address, "")
	defer c.Close()
	status, body, err := c.Do("GET", "/api/openapi.json", nil)
	var described struct{ Paths map[string]map[string]any }
	if err != nil || status != 200 || json.Unmarshal(body, &described) != nil {
		m.t.Fatalf("openapi.json: %d %v", status, err)
	}
	for path, methods := range described.Paths {
		for method := range methods {
			if what := strings.ToUpper(method); strings.HasPrefix(path, below) && (what == "GET" || what == "PUT" || what == "POST" || what == "DELETE") {
				list = append(list, what+" "+strings.TrimPrefix(path, "/api/v1"))
			}
		}
	}
	if len(list) < 10 {
		m.t.Fatalf("openapi.json has only %q", list)
	}
	return list
}

// What docs/cargo.md says of mirrors is so.
func TestCargo(t *testing.T) {
	m := newMachine(t)
	m.serve(&block{text: "crateyard serve --data data"})
	m.replace("https://crates.acme.dev", "http://"+m.address)
	m.run(&block{text: "mkdir .cargo\nexport CRATEYARD_TOKEN=$(cat data/admin-token)\ncrateyard mirror create crates-mirror --deny 'time@<0.2.23'"})
	token, err := os.ReadFile(filepath.Join(m.home, "data/admin-token"))
	m.must(err)
	fill(t, "http://"+m.address, strings.TrimSpace(string(token)), []sample{{name: "widgets", version: "1.2.0"}})
	m.run(&block{text: "cargo new -q old && cd old && cargo add -q time@=0.2.22"}) // before the mirror
	m.run(&block{text: "cd ~ && ls old/Cargo.lock"})
	m.runAll(section(t, "cargo.md", "## A mirror in the place of crates.io"))
}

// Every manifest in the text is one of ours, with fields that there are.
func TestManifests(t *testing.T) {
	known := map[string]any{"CrateMirror": &v1alpha1.CrateMirror{}, "Registry": &v1alpha1.Registry{}, "Secret": &corev1.Secret{}}
	mirrors := 0
	for _, b := range document(text(t, "mirroring.md")) {
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
