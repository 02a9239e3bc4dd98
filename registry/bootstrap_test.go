package registry_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/test/process"
)

// start opens a server over a folder, asks it with each token, and stops it. It gives which of them are an admin's. No token may stand
// in the log.
func start(t *testing.T, dir string, change func(*registry.Config), tokens ...string) (works []bool, err error) {
	t.Helper()
	c := registry.DefaultConfig()
	c.Listen, c.OpsListen, c.Data = "127.0.0.1:0", "127.0.0.1:0", dir
	change(&c)
	logs := &process.Log{}
	defer func() {
		for _, token := range append(tokens, c.AdminToken) {
			if token != "" && strings.Contains(logs.String(), token) {
				t.Errorf("the log holds a token:\n%s", logs)
			}
		}
	}()
	s, err := registry.Open(t.Context(), c, "test", logs)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	for _, token := range tokens {
		_, err := client.New("http://"+s.Addr(), token).Users(t.Context())
		if err != nil && !client.IsUnauthorized(err) {
			t.Errorf("asking with a token: %v", err)
		}
		works = append(works, err == nil)
	}
	stop()
	return works, <-done
}

const (
	oneToken     = "cy_one_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	anotherToken = "cy_two_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// write writes a file for the server to read.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The administrator's token is the one that was given last; what was there before works no more.
func TestAdminToken(t *testing.T) {
	none := func(*registry.Config) {}
	dir := t.TempDir()
	own, given := filepath.Join(dir, registry.AdminTokenName), filepath.Join(t.TempDir(), "token")
	fromFile := func(c *registry.Config) { c.AdminTokenFile = given }

	if _, err := start(t, dir, none); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(own)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the token's file: %v, %v; only its owner may read it", info, err)
	}
	text, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	made := strings.TrimSpace(string(text))
	write(t, given, oneToken+"\n")
	for _, step := range []struct {
		name   string
		before func()
		change func(*registry.Config)
		want   []bool // made, oneToken, anotherToken
	}{
		{"the token that the first start made stays", nil, none, []bool{true, false, false}},
		{"one in a file is the one that works", nil, fromFile, []bool{false, true, false}},
		{"the same again", nil, fromFile, []bool{false, true, false}},
		{"a changed one revokes the old one", func() { write(t, given, anotherToken) }, fromFile, []bool{false, false, true}},
		{"one of the environment goes before the file", nil, func(c *registry.Config) { fromFile(c); c.AdminToken = oneToken }, []bool{false, true, false}},
		{"without any the folder's own counts again", nil, none, []bool{true, false, false}},
	} {
		if step.before != nil {
			step.before()
		}
		works, err := start(t, dir, step.change, made, oneToken, anotherToken)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		for i, want := range step.want {
			if works[i] != want {
				t.Errorf("%s: of the three tokens work %v, want %v", step.name, works, step.want)
				break
			}
		}
	}
}

// A token that would not protect anything keeps the server from starting, and the one before goes on to work.
func TestAdminTokenIsRefused(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "token")
	with := func(token string) func(*registry.Config) {
		return func(c *registry.Config) { c.AdminToken = token }
	}
	if _, err := start(t, dir, with(oneToken)); err != nil {
		t.Fatal(err)
	}
	for name, refused := range map[string]struct {
		change func(*registry.Config)
		says   string
	}{
		"short":          {with("swordfish"), "the admin token has 9 characters; it needs at least 32 random ones"},
		"spaces inside":  {with(strings.Repeat("ab ", 12)), "characters outside printable ASCII"},
		"not ASCII":      {with(strings.Repeat("é", 32)), "characters outside printable ASCII"},
		"empty file":     {func(c *registry.Config) { write(t, file, "\n"); c.AdminTokenFile = file }, "the admin token has 0 characters"},
		"file not there": {func(c *registry.Config) { c.AdminTokenFile = file + ".none" }, "adminTokenFile (--admin-token-file): open " + file + ".none: no such file or directory; the file holds the admin's token"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := start(t, dir, refused.change); err == nil || !strings.Contains(err.Error(), refused.says) {
				t.Errorf("got %v, want an error that says %q", err, refused.says)
			}
			if works, err := start(t, dir, with(oneToken), oneToken); err != nil || !works[0] {
				t.Errorf("afterwards the token of before: %v, %v", works, err)
			}
		})
	}
}
