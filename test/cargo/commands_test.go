package cargo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/serve"
)

// cratesIO is the name of the server that stands for crates.io.
const cratesIO = "crates-io"

// cmdServer: server [NAME] [flags]
//
// Starts a server and makes it known to cargo under the name, "yard" when left out; $URL is its address, $URL_NAME too. Called
// again, it stops the server and starts it on the same folder and address. The name crates-io has it stand for crates.io itself.
func cmdServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("server cannot fail")
	}
	name := registryName
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	y := yardOf(ts.Getenv("WORK"))
	old := y.servers[name]
	if old != nil {
		ts.Check(old.Stop())
		args = append([]string{"--listen", strings.TrimPrefix(old.URL, "http://")}, args...)
	}
	s, err := serve.Start(ts.MkAbs("registry-"+name), append([]string{"--name", name}, args...)...)
	ts.Check(err)
	y.servers[name] = s
	if old == nil {
		y.names = append(y.names, name)
		ts.Defer(func() { stopServer(ts, y, name) })
		writeConfig(ts, y)
	}
	ts.Setenv("URL", s.URL)
	ts.Setenv("URL_"+wire.EnvName(name), s.URL)
	ts.Setenv("OPS", s.OpsURL)
	ts.Setenv("SERVER", name)
	ts.Setenv("CRATEYARD_URL", s.URL)
	ts.Setenv("CRATEYARD_TOKEN", s.AdminToken)
	if name == cratesIO {
		ts.Setenv("__CARGO_TEST_CRATES_IO_URL_DO_NOT_USE_THIS", indexOf(ts, s.URL))
	}
}

func stopServer(ts *testscript.TestScript, y *yard, name string) {
	s := y.servers[name]
	if err := s.Stop(); err != nil {
		ts.Fatalf("server %s did not stop cleanly: %v\n%s", name, err, s.Logs())
	}
	for _, token := range append([]string{s.AdminToken}, y.tokens...) {
		if strings.Contains(s.Logs(), token) {
			ts.Fatalf("the log of %s holds a token:\n%s", name, s.Logs())
		}
	}
}

// indexOf is the address of the index that the script's cargo reads.
func indexOf(ts *testscript.TestScript, url string) string {
	if ts.Getenv("INDEX") == "git" {
		return url + "/git/index"
	}
	return wire.IndexURL(url)
}

// writeConfig writes the lines that users paste, with the first server as the default.
func writeConfig(ts *testscript.TestScript, y *yard) {
	var config strings.Builder
	for _, name := range y.names {
		if name != cratesIO {
			url := y.servers[name].URL
			config.WriteString(strings.ReplaceAll(wire.CargoConfig(name, url), wire.IndexURL(url), indexOf(ts, url)))
		}
	}
	if y.names[0] != cratesIO {
		fmt.Fprintf(&config, "[registry]\ndefault = %q\n", y.names[0])
	}
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("CARGO_HOME"), "config.toml"), []byte(config.String()), 0o644))
}

// cmdUser: user NAME ROLE [SCOPES [CRATES]]
//
// Makes a user of the server that was started last, with a token: $TOKEN_NAME, and for cargo when it is the first of its server.
func cmdUser(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: user NAME ROLE [SCOPES [CRATES]]")
	}
	c := client.New(ts.Getenv("URL"), ts.Getenv("CRATEYARD_TOKEN"))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
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
	y := yardOf(ts.Getenv("WORK"))
	y.tokens = append(y.tokens, token.Secret)
	ts.Setenv("TOKEN_"+args[0], token.Secret)
	ts.Setenv("SERVER_"+args[0], ts.Getenv("SERVER"))
	if ts.Getenv(tokenVariable(ts.Getenv("SERVER"))) == "" {
		cmdAs(ts, false, args[:1])
	}
}

// cmdAs: as NAME
//
// Has cargo use that user's token from here on, at the user's server.
func cmdAs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: as NAME")
	}
	ts.Setenv(tokenVariable(ts.Getenv("SERVER_"+args[0])), ts.Getenv("TOKEN_"+args[0]))
}

// cmdLogin: login FILE
//
// Has cargo use the token in a file with the last server.
func cmdLogin(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: login FILE")
	}
	ts.Setenv(tokenVariable(ts.Getenv("SERVER")), strings.TrimSpace(ts.ReadFile(args[0])))
}

func tokenVariable(server string) string {
	if server == cratesIO {
		return "CARGO_REGISTRY_TOKEN"
	}
	return "CARGO_REGISTRIES_" + wire.EnvName(server) + "_TOKEN"
}

// cmdCrate: crate NAME VERSION [FOLDER]
//
// Makes the folder of a library crate, called after it when no other is said.
func cmdCrate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: crate NAME VERSION [FOLDER]")
	}
	dir := ts.MkAbs(args[len(args)-1])
	if len(args) == 2 {
		dir = ts.MkAbs(args[0])
	}
	ts.Check(os.MkdirAll(filepath.Join(dir, "src"), 0o755))
	manifest := fmt.Sprintf("[package]\nname = %q\nversion = %q\nedition = \"2021\"\ndescription = \"a crate named %s\"\nlicense = \"MIT\"\n", args[0], args[1], args[0])
	ts.Check(os.WriteFile(filepath.Join(dir, "Cargo.toml"), []byte(manifest), 0o644))
	ts.Check(os.WriteFile(filepath.Join(dir, "src", "lib.rs"), []byte("pub fn answer() -> u32 { 42 }\n"), 0o644))
}

// cmdVersion: version FOLDER VERSION
//
// Gives the crate in a folder another version.
func cmdVersion(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: version FOLDER VERSION")
	}
	ts.Check(ts.Exec("sed", "-i", `0,/^version = .*/s//version = "`+args[1]+`"/`, filepath.Join(args[0], "Cargo.toml")))
}

// cmdPublish: [!] publish FOLDER [flags of cargo publish]
//
// Publishes the crate of a folder with real cargo, to the registry "yard" when the flags name none. The crate is not built first:
// what cargo's --no-verify leaves out happens on this side alone, before anything reaches the server.
func cmdPublish(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 || !isFile(ts.MkAbs(filepath.Join(args[0], "Cargo.toml"))) {
		ts.Fatalf("usage: publish FOLDER [flags]")
	}
	flags := []string{"publish", "--no-verify", "--allow-dirty", "--manifest-path", filepath.Join(args[0], "Cargo.toml")}
	if !strings.Contains(strings.Join(args[1:], " "), "--registry") {
		flags = append(flags, "--registry", registryName)
	}
	err := ts.Exec("cargo", append(flags, args[1:]...)...)
	if neg != (err != nil) {
		ts.Fatalf("cargo publish: %v", err)
	}
}
