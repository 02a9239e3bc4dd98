// Package cargo holds the server against real cargo: each file of testdata is a script of one behaviour, with a server, a
// CARGO_HOME and a folder of its own. Commands that the scripts have beyond testscript's:
//
//	server [flags]     starts a server and writes CARGO_HOME/config.toml, where it is called "yard"; $URL is its address.
//	                   Called again, it stops the server and starts it on the same folder and address.
//	user NAME ROLE     makes a user with a token: $TOKEN_NAME, and for cargo when it is the first
//	as NAME            has cargo use that user's token from here on
//	crate NAME VERSION makes the folder of a library crate
package cargo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/serve"
)

const registryName = "yard"

func TestCargo(t *testing.T) {
	bin, err := serve.Binary()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, "cargo-home")
			if err := os.MkdirAll(home, 0o755); err != nil {
				return err
			}
			rustupHome := os.Getenv("RUSTUP_HOME")
			if userHome, err := os.UserHomeDir(); rustupHome == "" && err == nil {
				rustupHome = filepath.Join(userHome, ".rustup") // the scripts' HOME is another
			}
			env.Setenv("CARGO_HOME", home)
			env.Setenv("RUSTUP_HOME", rustupHome)
			env.Setenv("CARGO_TERM_COLOR", "never")
			env.Setenv("CARGO_NET_RETRY", "0")
			env.Setenv("CARGO_BUILD_JOBS", "1")
			env.Setenv("CRATEYARD", bin)
			env.Setenv("PATH", os.Getenv("PATH")+":"+filepath.Dir(bin))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"server": cmdServer, "user": cmdUser, "as": cmdAs, "crate": cmdCrate,
		},
		RequireExplicitExec: true,
	})
}

// servers are the running servers by their data folder, which is the script's own.
var servers = newServers()

func cmdServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("server cannot fail")
	}
	data := ts.MkAbs("registry-data")
	first := true
	if old := servers.get(data); old != nil {
		first = false
		ts.Check(old.Stop())
		args = append([]string{"--listen", strings.TrimPrefix(ts.Getenv("URL"), "http://")}, args...)
	}
	s, err := serve.Start(data, append([]string{"--name", registryName}, args...)...)
	ts.Check(err)
	servers.set(data, s)
	if !first {
		return
	}
	ts.Defer(func() {
		last := servers.get(data)
		if err := last.Stop(); err != nil {
			ts.Fatalf("server did not stop cleanly: %v\n%s", err, last.Logs())
		}
		if strings.Contains(last.Logs(), ts.Getenv("TOKEN")) && ts.Getenv("TOKEN") != "" {
			ts.Fatalf("the log holds a token:\n%s", last.Logs())
		}
	})
	ts.Setenv("URL", s.URL)
	ts.Setenv("OPS", s.OpsURL)
	ts.Setenv("CRATEYARD_URL", s.URL)
	ts.Setenv("CRATEYARD_TOKEN", s.AdminToken)
	config := wire.CargoConfig(registryName, s.URL) + "[registry]\ndefault = \"" + registryName + "\"\n"
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("CARGO_HOME"), "config.toml"), []byte(config), 0o644))
}

func cmdUser(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: user NAME ROLE [SCOPES [CRATES]]")
	}
	c := client.New(ts.Getenv("URL"), ts.Getenv("CRATEYARD_TOKEN"))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := c.CreateUser(ctx, wire.CreateUser{Name: args[0], Role: args[1]})
	ts.Check(err)
	body := wire.CreateToken{User: args[0], Name: "script"}
	if len(args) > 2 {
		body.Scopes = strings.Split(args[2], ",")
	}
	if len(args) > 3 {
		body.Crates = strings.Split(args[3], ",")
	}
	token, err := c.CreateToken(ctx, body)
	ts.Check(err)
	ts.Setenv("TOKEN_"+args[0], token.Secret)
	if ts.Getenv("TOKEN") == "" {
		cmdAs(ts, false, args[:1])
	}
}

func cmdAs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: as NAME")
	}
	ts.Setenv("TOKEN", ts.Getenv("TOKEN_"+args[0]))
	ts.Setenv("CARGO_REGISTRIES_"+wire.EnvName(registryName)+"_TOKEN", ts.Getenv("TOKEN"))
}

func cmdCrate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: crate NAME VERSION")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Join(dir, "src"), 0o755))
	manifest := fmt.Sprintf("[package]\nname = %q\nversion = %q\nedition = \"2021\"\ndescription = \"a crate named %s\"\nlicense = \"MIT\"\n", args[0], args[1], args[0])
	ts.Check(os.WriteFile(filepath.Join(dir, "Cargo.toml"), []byte(manifest), 0o644))
	ts.Check(os.WriteFile(filepath.Join(dir, "src", "lib.rs"), []byte("pub fn answer() -> u32 { 42 }\n"), 0o644))
}
