package cmd

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

const (
	defaultName = "crateyard"             // of a registry
	defaultURL  = "http://127.0.0.1:8080" // of a server on this machine
	askTime     = 3 * time.Second         // for a server to answer; the lines are right without, as a rule
)

// isAddress reports whether a text can be a registry's address.
func isAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

// identityOf asks the server at an address how cargo knows it. What it does not say, or not so that it can be believed, is empty.
func identityOf(ctx context.Context, server *client.Client) (is client.Identity) {
	is, err := server.Identity(ctx)
	if err != nil || is.Name != "" && registry.CheckName(is.Name) != nil { // or it is no registry of ours
		return client.Identity{}
	}
	if !isAddress(is.URL) {
		is.URL = ""
	}
	return is
}

// publicAddress gives the address that stands in cargo's configuration: the one that is given, or else the server's own, and why that may be wrong.
func publicAddress(given, own string) (address, why string) {
	if given == "" { // on the server's own machine, and others are to reach it, too
		return firstOf(own, defaultURL), ""
	}
	if own != "" && own != given {
		why = fmt.Sprintf("the registry's own address is %s; to cargo it is another registry under %s, and a Cargo.lock keeps the one that it was made with", own, given)
	}
	return given, why
}

func newCargoConfigCommand() *cobra.Command {
	var address, name, mirror, upstream string
	cmd := &cobra.Command{
		Use: "cargo-config", Short: "Print the config.toml lines for a registry", Args: args(cobra.NoArgs),
		Example: "  crateyard cargo-config --url https://crates.example.com --name acme > .cargo/config.toml\n" +
			"  crateyard cargo-config --mirror crates-mirror >> ~/.cargo/config.toml",
	}
	cmd.Flags().StringVar(&address, "url", "", "the registry's address; or CRATEYARD_URL (default: the public one of the server at http://127.0.0.1:8080)")
	cmd.Flags().StringVar(&name, "name", "", "what to call the registry (default: what the server calls itself, or crateyard while it cannot be asked)")
	cmd.Flags().StringVar(&mirror, "mirror", "", "print the lines that have cargo take crates from this mirror of the registry, instead")
	cmd.Flags().StringVar(&upstream, "upstream", "", "index of the registry that the mirror takes the place of, sparse+https://…/ (default: the one that the server says, or crates.io while it cannot be asked)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		given := strings.TrimRight(firstOf(address, os.Getenv("CRATEYARD_URL")), "/")
		a := firstOf(given, defaultURL)
		if !isAddress(a) {
			return usageError{badAddress(a)}
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), askTime)
		defer cancel()
		server := client.New(a, os.Getenv("CRATEYARD_TOKEN"), client.WithVersion(Version()))
		is := identityOf(ctx, server)
		if name == "" && mirror == "" {
			if name = is.Name; is == (client.Identity{}) {
				note(cmd, "%s cannot be asked what it is called, so it is %s here; --name says another", a, defaultName)
			}
		}
		public, why := publicAddress(given, is.URL)
		if why != "" {
			note(cmd, "%s", why)
		}
		if err := registry.CheckName(firstOf(name, defaultName)); err != nil {
			return usageError{fmt.Errorf("--name: %w", err)}
		}
		lines := wire.CargoConfig(firstOf(name, defaultName), public)
		if mirror != "" {
			if err := registry.CheckName(mirror); err != nil {
				return usageError{fmt.Errorf("--mirror: %w", err)}
			}
			if upstream != "" && !strings.HasPrefix(upstream, "sparse+http") {
				return usageError{fmt.Errorf("--upstream %q: it must be a sparse index such as sparse+https://crates.example.com/index/, as the mirror has it", upstream)}
			}
			switch of, err := server.MirrorUpstream(ctx, mirror); {
			case client.IsNotFound(err):
				return fmt.Errorf("there is no mirror `%s` at %s; `crateyard mirror list --url %s` names those that there are", mirror, a, a)
			case upstream != "":
			case of == "": // it cannot be asked, or does not say
				note(cmd, "%s cannot be asked what mirror %s is of%s, so these lines are for one of crates.io; --upstream says another", a, mirror, refused(err))
			case !strings.HasPrefix(of, "sparse+http"):
				return fmt.Errorf("%s says that mirror %s is of %.200q, which is no sparse index; say --upstream", a, mirror, of)
			default:
				upstream = of
			}
			lines = wire.MirrorConfig(upstream, mirror, public)
		}
		_, err := fmt.Fprint(cmd.OutOrStdout(), lines)
		return err
	}
	return cmd
}

// refused says what to do where a server wants a token, or another one, behind what it was not asked for then; empty: it is something else.
func refused(err error) string {
	switch {
	case !client.IsUnauthorized(err):
		return ""
	case os.Getenv("CRATEYARD_TOKEN") == "":
		return " (status 401: it can be read with a token only, which CRATEYARD_TOKEN takes)"
	}
	return " (status 401: it does not know the token in CRATEYARD_TOKEN)"
}
