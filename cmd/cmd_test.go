package cmd

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/crateyard/crateyard/registry"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "10485760": 10 << 20, "10MiB": 10 << 20, "10Mi": 10 << 20, "10 MiB": 10 << 20, "20MB": 20e6, "20mb": 20e6, "20M": 20e6,
		"512KiB": 512 << 10, "1kB": 1000, "1GiB": 1 << 30, "1G": 1e9, "7B": 7,
		"": -1, "MiB": -1, "ten": -1, "-1": -1, "1.5MiB": -1, "20 megabytes": -1, "10m i": -1, "1TiB": -1, "99999999999GiB": -1, "1iB": -1,
	} {
		var s size
		err := s.Set(text)
		if want < 0 {
			if err == nil || !strings.Contains(err.Error(), "such as 20MiB") {
				t.Errorf("%q: %d, %v; want an error that says what to write", text, s, err)
			}
			continue
		}
		if err != nil || int64(s) != want {
			t.Errorf("%q = %d, %v; want %d", text, s, err, want)
		}
		var again size
		if err := again.Set(s.String()); err != nil || again != s {
			t.Errorf("%q is written as %s and read as %d, %v", text, s.String(), again, err)
		}
	}
}

// A flag goes before the environment, and that before the file.
func TestCrateSizeFromThreePlaces(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte("limits: {crateSize: 1024}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		env, flag string
		want      int64
	}{{"", "", 1024}, {"2KiB", "", 2048}, {"2KiB", "3KB", 3000}} {
		if tt.env != "" {
			t.Setenv("CRATEYARD_CRATE_SIZE", tt.env)
		}
		f := pflag.NewFlagSet("serve", pflag.ContinueOnError)
		c := registry.DefaultConfig()
		serveFlags(f, &c)
		if tt.flag != "" {
			if err := f.Set("crate-size", tt.flag); err != nil {
				t.Fatal(err)
			}
		}
		got, err := serveConfig(f, file)
		if err != nil || got.Limits.CrateSize != tt.want {
			t.Errorf("environment %q, flag %q: %d, %v; want %d", tt.env, tt.flag, got.Limits.CrateSize, err, tt.want)
		}
	}
}

func TestWhatToDo(t *testing.T) {
	t.Setenv("CRATEYARD_TOKEN", "cy_test")
	other := httptest.NewServer(http.NotFoundHandler()) // no registry
	defer other.Close()
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"user list --url http://127.0.0.1:1", 1, "connection refused; is the server running (`crateyard serve`)? Its address comes from --url or CRATEYARD_URL"},
		{"token list --url http://127.0.0.1:1", 1, "is the server running"},
		{"user list --url http://no-such-host.invalid", 1, "is the server running"},
		{"user list --url http://127.0.0.1:1 --output xml", 2, "it must be table or json\n"},
		{"import sparse sparse+http://127.0.0.1:1/index/", 1, "crateyard: the source cannot be reached; look at its address, and whether it runs: "},
		{"import sparse sparse+http://127.0.0.1:1/index/", 1, "connection refused\n"},
		{"import folder ../docs --url http://127.0.0.1:1", 1, "crateyard: there is no .crate file in ../docs: say the folder that has them, in any depth."},
		{"import kellnr ../docs --url http://127.0.0.1:1", 1, "there is no db.sqlite in ../docs: say Kellnr's data folder"},
		{"user list --url 127.0.0.1:8080", 2, `--url "127.0.0.1:8080": it must begin with http:// or https://, such as http://127.0.0.1:8080`},
		{"user list --url localhost:8080", 2, "such as http://localhost:8080"},
		{"cargo-config --url crates.example.com", 2, "such as http://crates.example.com"},
		{"user list --url ftp://x", 2, "it must begin with http:// or https://\n"},
		{"user list --url TLS-OTHER", 1, "it speaks plain HTTP: begin the address (--url or CRATEYARD_URL) with http://"},
		{"user list --url OTHER", 1, "no Crateyard registry answers at OTHER; is that its address"},
		{"user delete", 2, "crateyard: missing: NAME; usage: crateyard user delete NAME"},
		{"mirror cache m a", 2, "missing: VERSION; usage: crateyard mirror cache NAME CRATE VERSION"},
		{"mirror forget", 2, "missing: NAME, CRATE; usage"},
		{"user list now", 2, `"now" is one argument too many; usage: crateyard user list`},
		{"serve --data x --crate-size 20megs", 2, "such as 20MiB"},
	} {
		var out, errOut bytes.Buffer
		here := strings.NewReplacer("TLS-OTHER", strings.Replace(other.URL, "http", "https", 1), "OTHER", other.URL).Replace
		tt.args, tt.want = here(tt.args), here(tt.want)
		code := Main(strings.Fields(tt.args), strings.NewReader(""), &out, &errOut)
		if code != tt.code || !strings.Contains(errOut.String(), tt.want) {
			t.Errorf("crateyard %s: exit code %d, want %d; it said\n%swant\n%s", tt.args, code, tt.code, errOut.String(), tt.want)
		}
	}
}
