package mirroring

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/port"
	"github.com/crateyard/crateyard/test/process"
	"github.com/crateyard/crateyard/test/serve"
	"github.com/crateyard/crateyard/test/upstream"
)

// machine is what the text supposes to be there: an empty home with cargo, crates.io, which a second server stands for, a partner's registry that wants
// a token, and a registry in a place without a network. The text's own server, at http://127.0.0.1:8080, is started by the text.
type machine struct {
	t        *testing.T
	home     string
	cratesIO *upstream.Proxy
	server   *process.Process
	address  string // where the text's server listens
	env      []string
	replaced []string // what stands in the text, and what is meant here, in turns
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, home: t.TempDir(), cratesIO: upstream.New(t)}
	from := m.start("--url", m.cratesIO.URL)
	m.cratesIO.To("http://" + from.listen)
	fill(t, m.cratesIO.URL, from.AdminToken, cratesIO())
	partner := m.start("--anonymous-read", "Disabled")
	fill(t, partner.URL, partner.AdminToken, []sample{{name: "partner-client", version: "2.1.0"}})
	m.write("partner-token", partner.AdminToken+"\n")
	inside := m.start()
	m.write("inside-token", inside.AdminToken+"\n")
	m.write("advisory-db/crates/time/RUSTSEC-2020-0071.md", advisory)

	bin, err := serve.Binary()
	m.must(err)
	index := wire.IndexURL(m.cratesIO.URL)
	// crates.io is another server here; whoever names no upstream means that one.
	m.program("crateyard", `case "$1 $2 $*" in
"mirror create "*--upstream*) ;;
"mirror create "*) exec `+bin+` "$@" --upstream `+index+` ;;
"cargo-config --mirror "*--upstream*) ;;
"cargo-config --mirror "*) exec `+bin+` "$@" --upstream `+wire.CratesIOIndex+` ;;
esac
exec `+bin+` "$@"`)
	sysroot, err := exec.Command("rustc", "--print", "sysroot").Output()
	m.must(err)
	m.address = port.Address(t)
	m.env = []string{
		"HOME=" + m.home, "PATH=" + filepath.Join(m.home, "programs") + ":" + filepath.Join(strings.TrimSpace(string(sysroot)), "bin") + ":" + os.Getenv("PATH"),
		"CARGO_BUILD_JOBS=1", "CARGO_TERM_COLOR=never", "CARGO_TERM_PROGRESS_WHEN=never", "__CARGO_TEST_CRATES_IO_URL_DO_NOT_USE_THIS=" + index,
		"CRATEYARD_LISTEN=" + m.address, "CRATEYARD_OPS_LISTEN=127.0.0.1:0", "CRATEYARD_URL=http://" + m.address,
	}
	m.replaced = []string{
		"http://127.0.0.1:8080", "http://" + m.address, "https://crates.partner.example", partner.URL, "https://crates.inside.example", inside.URL,
		"/srv/advisory-db", filepath.Join(m.home, "advisory-db"), "/srv/meuse", filepath.Join(m.home, "meuse"),
	}
	t.Cleanup(m.stop)
	return m
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

type started struct {
	*serve.Server
	listen string
}

// start starts a server that the text's meets.
func (m *machine) start(flags ...string) started {
	m.t.Helper()
	listen := port.Address(m.t)
	s, err := serve.Start(m.t.TempDir(), append(flags, "--listen", listen)...)
	m.must(err)
	m.t.Cleanup(func() { m.must(s.Stop()) })
	return started{s, listen}
}

func (m *machine) write(file, text string) {
	m.t.Helper()
	path := filepath.Join(m.home, file)
	m.must(os.MkdirAll(filepath.Dir(path), 0o755))
	m.must(os.WriteFile(path, []byte(text), 0o600))
}

func (m *machine) program(name, script string) {
	m.t.Helper()
	m.write("programs/"+name, "#!/bin/sh\n"+script+"\n")
	m.must(os.Chmod(filepath.Join(m.home, "programs", name), 0o755))
}

func (m *machine) replace(pairs ...string) { m.replaced = append(m.replaced, pairs...) }

func (m *machine) here(text string) string { return strings.NewReplacer(m.replaced...).Replace(text) }

// run runs a block where the one before left off: in its folder, with its variables.
func (m *machine) run(b *block) {
	m.t.Helper()
	const leaveOff = "trap '{ export -p; declare -f; echo cd $PWD; } > ~/.terminal' EXIT"
	script := "if [ -f ~/.terminal ]; then . ~/.terminal; fi\n" + leaveOff + "\nset -euo pipefail\n" + m.here(b.text)
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir, cmd.Env = m.home, m.env
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	m.t.Logf("line %d (%s):\n%s\n%s", b.line, time.Since(begin).Round(time.Millisecond), b.text, out)
	out = bytes.ReplaceAll(out, []byte(" --upstream "+wire.IndexURL(m.cratesIO.URL)), nil) // who mirrors crates.io does not say so
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		m.t.Fatal(err)
	}
	if failed := err != nil; failed != b.fails() {
		m.t.Errorf("line %d: it fails: %v; as the text has it: %v", b.line, failed, b.fails())
	}
	if b.output != nil && !prints(m.here(b.output.text), string(out)) {
		m.t.Errorf("line %d prints\n%s\nand not\n%s", b.line, out, b.output.text)
	}
}

// serve has the text's server run, in place of the one that runs.
func (m *machine) serve(b *block) {
	m.t.Helper()
	m.stop()
	cmd := exec.Command("bash", "-c", "exec "+m.here(b.text))
	cmd.Dir, cmd.Env = m.home, m.env
	p, err := process.Start(cmd, syscall.SIGKILL)
	m.must(err)
	m.server = p
	for end := time.Now().Add(time.Minute); !strings.Contains(p.Logs(), "msg=Serving"); time.Sleep(10 * time.Millisecond) {
		select {
		case <-p.Ended():
			m.t.Fatalf("line %d: the server ended:\n%s", b.line, p.Logs())
		default:
		}
		if time.Now().After(end) {
			m.t.Fatalf("line %d: the server does not serve:\n%s", b.line, p.Logs())
		}
	}
}

func (m *machine) stop() {
	m.t.Helper()
	if m.server == nil {
		return
	}
	p := m.server
	m.server = nil
	if err := errors.Join(p.Signal(syscall.SIGTERM), p.Wait(time.Minute)); err != nil {
		m.t.Errorf("the server did not stop cleanly: %v\n%s", err, p.Logs())
	}
	if m.t.Failed() {
		m.t.Logf("the server's log:\n%s", p.Logs())
	}
}
