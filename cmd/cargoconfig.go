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
	var address, name, mirror, source string
	cmd := &cobra.Command{
		Use: "cargo-config", Short: "Print the config.toml lines for a registry", Args: args(cobra.NoArgs),
		Example: "  crateyard cargo-config --url https://crates.example.com --name acme > .cargo/config.toml",
	}
	cmd.Flags().StringVar(&address, "url", "", "the registry's address; or CRATEYARD_URL (default http://127.0.0.1:8080)")
	cmd.Flags().StringVar(&name, "name", "crateyard", "what to call the registry")
	cmd.Flags().StringVar(&mirror, "mirror", "", "print the lines that have cargo take crates from this mirror of the registry, instead")
	cmd.Flags().StringVar(&source, "source", "crates-io", "what the mirror takes the place of: crates-io, or a name that [source.NAME] has in your configuration")
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
			for flag, value := range map[string]string{"--mirror": mirror, "--source": source} {
				if err := registry.CheckName(value); err != nil {
					return usageError{fmt.Errorf("%s: %w", flag, err)}
				}
			}
			lines = wire.MirrorConfig(source, mirror, a)
		}
		_, err := fmt.Fprint(cmd.OutOrStdout(), lines)
		return err
	}
	return cmd
}
