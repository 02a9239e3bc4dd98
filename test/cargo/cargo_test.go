// Package cargo holds the server against real cargo: each script of testdata is one behaviour, with a server, a CARGO_HOME
// and a folder of its own. README.md has the list of traps and the scripts and tests that watch them.
//
//	testdata/*.txtar      with every cargo that reads a sparse index: the machine's own and Debian's newest
//	testdata/git/*.txtar  over the git index, with every cargo: Debian's old one, which has no sparse protocol, too
//
// Commands that the scripts have beyond testscript's are in commands_test.go.
package cargo

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/crateyard/crateyard/test/serve"
)

// registryName is what cargo calls the server of a script that names none.
const registryName = "yard"

func TestCargo(t *testing.T) {
	bin, err := serve.Binary()
	if err != nil {
		t.Fatal(err)
	}
	cargos, err := findCargos()
	if err != nil {
		t.Fatal(err)
	}
	scripts := func(pattern string) []string {
		files, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no scripts at %s: %v", pattern, err)
		}
		return files
	}
	for _, c := range cargos {
		t.Run(c.version.String(), func(t *testing.T) {
			t.Parallel()
			if c.sparse() {
				runScripts(t, c, bin, "sparse", scripts("*.txtar"))
			}
			t.Run("git", func(t *testing.T) {
				t.Parallel()
				runScripts(t, c, bin, "git", scripts("git/*.txtar"))
			})
		})
	}
}

func runScripts(t *testing.T, c cargo, bin, index string, files []string) {
	testscript.Run(t, testscript.Params{
		Files: files,
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, "cargo-home")
			if err := os.MkdirAll(home, 0o755); err != nil {
				return err
			}
			env.Setenv("CARGO_HOME", home)
			env.Setenv("CARGO_TERM_COLOR", "never")
			env.Setenv("CARGO_NET_RETRY", "0")
			env.Setenv("CARGO_BUILD_JOBS", "1")
			env.Setenv("CARGO_INCREMENTAL", "0")
			env.Setenv("CARGO_PROFILE_DEV_DEBUG", "0") // what is compiled is run once
			env.Setenv("INDEX", index)
			if c.gitProgram {
				env.Setenv("CARGO_NET_GIT_FETCH_WITH_CLI", "true")
			}
			env.Setenv("PATH", c.path+":"+filepath.Dir(bin)+":"+os.Getenv("PATH"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"server": cmdServer, "bucket": cmdBucket, "user": cmdUser, "as": cmdAs, "login": cmdLogin, "crate": cmdCrate, "publish": cmdPublish, "version": cmdVersion, "real": cmdReal,
		},
		RequireExplicitExec: true,
	})
}
