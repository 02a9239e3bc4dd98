package operations

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/test/postgres"
)

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

func operations(t *testing.T) (commands, configs []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	return document(string(text))
}

// Every command of docs/operations.md does what it is there for.
func TestCommands(t *testing.T) {
	told, _ := operations(t)
	m := newMachine(t)
	all := steps()
	var known []string
	for _, s := range all {
		known = append(known, s.command)
	}
	if !slices.Equal(told, known) {
		t.Fatalf("docs/operations.md has these commands, and this test others:\n%s\n\n%s", strings.Join(told, "\n"), strings.Join(known, "\n"))
	}
	for _, s := range all {
		if s.cluster {
			continue
		}
		if s.before != nil {
			s.before(m)
		}
		out := ""
		if s.serves {
			m.serve(s.command)
		} else {
			out = m.run(s.command)
		}
		if !strings.Contains(out, s.says) {
			t.Errorf("%s says:\n%s\nand not %q", s.command, out, s.says)
		}
		if s.after != nil {
			s.after(m)
		}
		if t.Failed() {
			return
		}
	}
}

// Every block of YAML in docs/operations.md is a configuration that the server takes, beside what it leaves out.
func TestConfigurations(t *testing.T) {
	_, configs := operations(t)
	if len(configs) < 5 {
		t.Fatalf("docs/operations.md has only %d blocks of YAML", len(configs))
	}
	for _, text := range configs {
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := registry.DefaultConfig()
		c.Data, c.URL = "/var/lib/crateyard", "https://crates.example.com"
		if err := registry.ReadConfig(path, &c); err != nil {
			t.Errorf("%v:\n%s", err, text)
		}
		if err := c.Check(); err != nil {
			t.Errorf("%v:\n%s", err, text)
		}
	}
}

func TestDocument(t *testing.T) {
	commands, configs := document("a `crateyard check --repair` and `crateyard sweep --data D`\n\n   ```sh\n   crateyard x \\\n     --y   # why\n   # all\n   ```\n```yaml\na: b # c\n```\n`kubectl exec\npod` `crateyard check`\n")
	if !slices.Equal(commands, []string{"crateyard sweep --data D", "crateyard x --y", "kubectl exec pod"}) || !slices.Equal(configs, []string{"a: b # c\n"}) {
		t.Errorf("%q %q", commands, configs)
	}
}
