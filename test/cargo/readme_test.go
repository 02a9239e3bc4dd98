package cargo

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/port"
	"github.com/crateyard/crateyard/test/process"
	"github.com/crateyard/crateyard/test/serve"
)

// TestREADME runs the lines that the README has for a laptop, as they stand there: the first block in one terminal, the second in
// another. What differs from a newcomer's machine is that `go run .` finds the program compiled, that HOME is empty, and that the
// environment names other ports than the usual ones.
func TestREADME(t *testing.T) {
	t.Parallel()
	server, user := laptopBlocks(t)
	cargos, err := findCargos()
	if err != nil {
		t.Fatal(err)
	}
	bin, err := serve.Binary()
	if err != nil {
		t.Fatal(err)
	}
	dir, home, programs := t.TempDir(), t.TempDir(), t.TempDir()
	goRun := "#!/bin/sh\n[ \"$1 $2\" = 'run .' ] || { echo \"the README says: go $*\" >&2; exit 2; }\nshift 2\nexec " + bin + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(programs, "go"), []byte(goRun), 0o755); err != nil {
		t.Fatal(err)
	}
	address := port.Address(t)
	bash := func(script string) *exec.Cmd {
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", script)
		cmd.Dir = dir
		cmd.Env = []string{
			"HOME=" + home, "PATH=" + programs + ":" + cargos[0].path + ":" + os.Getenv("PATH"), "CARGO_BUILD_JOBS=1",
			"CRATEYARD_LISTEN=" + address, "CRATEYARD_OPS_LISTEN=127.0.0.1:0", "CRATEYARD_URL=http://" + address,
		}
		return cmd
	}

	p, err := process.Start(bash("exec "+server), syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		} else if err := p.Wait(time.Minute); err != nil {
			t.Errorf("the server did not stop cleanly: %v\n%s", err, p.Logs())
		}
	})
	for end := time.Now().Add(time.Minute); !strings.Contains(p.Logs(), "Serving"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the server prints no `Serving`:\n%s", p.Logs())
		}
	}

	if out, err := bash(user).CombinedOutput(); err != nil {
		t.Fatalf("the lines of the README: %v\n%s", err, out)
	}
	lock, err := os.ReadFile(filepath.Join(dir, "data/try/app/Cargo.lock"))
	if err != nil {
		t.Fatal(err)
	}
	if source := `source = "` + wire.IndexURL("http://"+address) + `"`; !strings.Contains(string(lock), source) || !strings.Contains(string(lock), "hello-yard") {
		t.Errorf("the app is not built with hello-yard of this registry:\n%s", lock)
	}
	if !isFile(filepath.Join(dir, "data/try/app/target/debug/app")) {
		t.Error("cargo built no app")
	}
}

// laptopBlocks gives the two blocks of commands that follow "On a laptop" in the README.
func laptopBlocks(t *testing.T) (server, user string) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, laptop, _ := strings.Cut(string(text), "**On a laptop**")
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(laptop, 2)
	if len(blocks) != 2 || strings.Count(blocks[0][1], "\n") != 1 {
		t.Fatal("the README has no two blocks of commands under \"On a laptop\", of which the first is one line")
	}
	return blocks[0][1], blocks[1][1]
}
