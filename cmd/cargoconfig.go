package cmd

import (
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/wire"
)

func newCargoConfigCommand() *cobra.Command {
	var address, name, mirror, upstream string
	cmd := &cobra.Command{
		Use: "cargo-config", Short: "Print the config.toml lines for a registry", Args: args(cobra.NoArgs),
		Example: "  crateyard cargo-config --url https://crates.example.com --name acme > .cargo/config.toml\n" +
			"  crateyard cargo-config --mirror crates-mirror >> ~/.cargo/config.toml",
	}
	cmd.Flags().StringVar(&address, "url", "", "the registry's address; or CRATEYARD_URL (default http://127.0.0.1:8080)")
	cmd.Flags().StringVar(&name, "name", "crateyard", "what to call the registry")
	cmd.Flags().StringVar(&mirror, "mirror", "", "print the lines that have cargo take crates from this mirror of the registry, instead")
	cmd.Flags().StringVar(&upstream, "upstream", "", "index of the registry that the mirror takes the place of, sparse+https://…/ (default crates.io)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		a := strings.TrimRight(firstOf(address, os.Getenv("CRATEYARD_URL"), "http://127.0.0.1:8080"), "/")
		if u, err := url.Parse(a); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return usageError{fmt.Errorf("--url %q: it must begin with http:// or https://", a)}
		}
		if err := registry.CheckName(name); err != nil {
			return usageError{fmt.Errorf("--name: %w", err)}
		}
		lines := wire.CargoConfig(name, a)
		if mirror != "" {
			if err := registry.CheckName(mirror); err != nil {
				return usageError{fmt.Errorf("--mirror: %w", err)}
			}
			if upstream != "" && !strings.HasPrefix(upstream, "sparse+http") {
				return usageError{fmt.Errorf("--upstream %q: it must be a sparse index such as sparse+https://crates.example.com/index/, as the mirror has it", upstream)}
			}
			lines = wire.MirrorConfig(upstream, mirror, a)
		}
		_, err := fmt.Fprint(cmd.OutOrStdout(), lines)
		return err
	}
	return cmd
}
