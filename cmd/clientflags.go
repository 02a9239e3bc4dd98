package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/crateyard/crateyard/registry/client"
)

// envName is the environment variable that says the same as a flag.
func envName(flag string) string {
	return "CRATEYARD_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// clientFlags are what every command that talks to a server has.
type clientFlags struct {
	url, tokenFile, output string
}

func (c *clientFlags) add(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&c.url, "url", "", "the registry's address; or CRATEYARD_URL (default http://127.0.0.1:8080)")
	f.StringVar(&c.tokenFile, "token-file", "", "file with an admin's token; or the token in CRATEYARD_TOKEN")
	f.StringVarP(&c.output, "output", "o", "table", "table or json")
}

// client makes the client that the flags and the environment describe, for what needs a token.
func (c *clientFlags) client() (*client.Client, error) { return c.clientFor(true) }

// reader is client for what everybody may read of a registry that lets everybody read.
func (c *clientFlags) reader() (*client.Client, error) { return c.clientFor(false) }

func (c *clientFlags) clientFor(needsToken bool) (*client.Client, error) {
	if c.output != "table" && c.output != "json" {
		return nil, usageError{fmt.Errorf("--output %q: it must be table or json", c.output)}
	}
	address := firstOf(c.url, os.Getenv("CRATEYARD_URL"), "http://127.0.0.1:8080")
	if !isAddress(address) {
		return nil, usageError{badAddress(address)}
	}
	token := os.Getenv("CRATEYARD_TOKEN")
	if c.tokenFile != "" {
		data, err := os.ReadFile(c.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("token file: %w", err)
		}
		token = strings.TrimSpace(string(data))
	}
	if token == "" && needsToken {
		return nil, usageError{fmt.Errorf("no token: set CRATEYARD_TOKEN or say --token-file FILE; a server's first admin token is in its DIR/admin-token")}
	}
	return client.New(address, token, client.WithVersion(Version())), nil
}

// badAddress says what to write in the place of what is no address.
func badAddress(address string) error {
	if strings.Contains(address, "://") || !isAddress("http://"+address) {
		return fmt.Errorf("--url %q: it must begin with http:// or https://", address)
	}
	return fmt.Errorf("--url %q: it must begin with http:// or https://, such as http://%s", address, address)
}

// hints gives a text in which each command that talks to a server goes to the one of --url.
func (c *clientFlags) hints(text string) string { return toServer(c.url, text) }

// clientCommand is how a text tells to run a command that talks to a server. Of one with an address of its own the address stays.
var clientCommand = regexp.MustCompile("`crateyard (mirror|user|group|token|crate|audit) [^`]*`")

func toServer(address, text string) string {
	if address == "" {
		return text
	}
	return clientCommand.ReplaceAllStringFunc(text, func(command string) string {
		if strings.Contains(command, " --url ") {
			return command
		}
		word := clientCommand.FindStringSubmatch(command)[1]
		return strings.Replace(command, word, word+" --url "+address, 1)
	})
}

// saidOf is what people are told of an error of a command.
func saidOf(cmd *cobra.Command, err error) string {
	address := ""
	if f := cmd.Flag("url"); f != nil && cmd.Flag("token-file") != nil { // and not that of serve, which is another
		address = f.Value.String()
	}
	return toServer(address, err.Error()) + unreachable(cmd, err)
}

// unreachable says what to do when a command that talks to a server found none; empty for other commands and errors.
func unreachable(cmd *cobra.Command, err error) string {
	if errors.Is(err, http.ErrSchemeMismatch) {
		return "; it speaks plain HTTP: begin the address (--url or CRATEYARD_URL) with http://"
	}
	if _, ok := errors.AsType[sourceAway](err); ok || !isDial(err) || cmd.Flag("token-file") == nil {
		return ""
	}
	return "; is the server running (`crateyard serve`)? Its address comes from --url or CRATEYARD_URL"
}

func firstOf(s ...string) string {
	for _, v := range s {
		if v != "" {
			return v
		}
	}
	return ""
}

// print shows v as JSON, or what table writes as columns.
func (c *clientFlags) print(w io.Writer, v any, table func(tw io.Writer)) error {
	if c.output == "json" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	table(tw)
	return tw.Flush()
}

// row writes one line of a table.
func row(w io.Writer, cells ...any) {
	for i, c := range cells {
		if i > 0 {
			_, _ = fmt.Fprint(w, "\t") // the tabwriter's Flush reports
		}
		_, _ = fmt.Fprint(w, c)
	}
	_, _ = fmt.Fprintln(w)
}
