package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/crateyard/crateyard/registry/wire"
)

func newMirrorCreateCommand(cf *clientFlags) *cobra.Command {
	var spec wire.MirrorSpec
	var file, tokenFile, caFile string
	var crates []string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a mirror, or make it another", Args: args(cobra.ExactArgs(1)),
		Long: `create makes a mirror. A mirror of that name that is there already is what the flags say from then on; what it has cached stays.

--spec reads everything that can be said from a YAML file; flags go over it. Its keys are those of GET /api/v1/mirrors/NAME:

  upstream: {index: sparse+https://crates.example.com/index/, max_age: 5m}
  mode: OnDemand
  crates: [{name: serde, versions: "^1", latest: 3}]
  dependencies: Normal
  schedule: "0 3 * * *"
  policy: {minimum_age: 72h, deny: ["evil-*", "time@<0.2.23"]}
  retention: {max_size: 53687091200, unused_for: 90d}`,
		Example: `  crateyard mirror create crates-mirror
  crateyard mirror create partner --upstream sparse+https://crates.partner.example/index/ --upstream-token-file ./token
  crateyard mirror create pinned --mode Pinned --crate serde@^1 --crate tokio@1.40 --schedule "0 3 * * *"`,
	}
	f := cmd.Flags()
	f.StringVar(&file, "spec", "", "YAML or JSON file with all that can be said of a mirror; - for standard input")
	f.StringVar(&spec.Upstream.Index, "upstream", "", "sparse index of the registry to mirror, sparse+https://…/ (default crates.io)")
	f.StringVar(&tokenFile, "upstream-token-file", "", "file with the token for upstream")
	f.StringVar(&caFile, "upstream-ca-file", "", "file with certificates, in PEM, that upstream's may be signed by, beside the system's")
	f.TextVar(&spec.Upstream.MaxAge, "max-age", wire.Duration(0), "how long an index file is served without asking upstream (default 5m)")
	f.StringVar(&spec.Upstream.Contact, "contact", "", "address of people, for upstream's; it stands in the User-Agent")
	f.StringVar(&spec.Mode, "mode", "", "OnDemand (default): whatever the policy admits; Pinned: only what is cached")
	f.StringArrayVar(&crates, "crate", nil, "crate to cache ahead, as NAME or NAME@REQUIREMENT; may be repeated")
	f.StringVar(&spec.Dependencies, "dependencies", "", "of these crates: None, Normal (default) or All")
	f.StringVar(&spec.RustVersion, "rust-version", "", "oldest Rust that builds with the mirror, as 1.85: what cargo chooses for it is cached, too")
	f.StringVar(&spec.Schedule, "schedule", "", "when they are looked at again, as cron has it, in UTC")
	f.BoolVar(&spec.Suspend, "suspend", false, "begin no sync but those that are asked for; see crateyard mirror suspend")
	f.StringSliceVar(&spec.Policy.Allow, "allow", nil, "patterns of crates that may enter; left out: all")
	f.StringSliceVar(&spec.Policy.Deny, "deny", nil, "patterns of crates that may not, as evil-* or time@<0.2.23")
	f.TextVar(&spec.Policy.MinimumAge, "minimum-age", wire.Duration(0), "how long ago a version must have been published")
	cmd.RunE = func(cmd *cobra.Command, a []string) error {
		full, err := readSpec(cmd, file)
		if err != nil {
			return err
		}
		overlay(cmd, full, spec)
		for _, c := range crates {
			name, versions, _ := strings.Cut(c, "@")
			full.Crates = append(full.Crates, wire.MirrorCrate{Name: name, Versions: versions})
		}
		if caFile != "" {
			data, err := os.ReadFile(caFile)
			if err != nil {
				return err
			}
			full.Upstream.CABundle = string(data)
		}
		change := wire.MirrorChange{Spec: *full}
		if tokenFile != "" {
			data, err := os.ReadFile(tokenFile)
			if err != nil {
				return err
			}
			token := strings.TrimSpace(string(data))
			change.Token = &token
		}
		c, err := cf.client()
		if err != nil {
			return err
		}
		if old, err := c.Mirror(cmd.Context(), a[0]); err == nil && !reflect.ValueOf(old.Spec.Policy).IsZero() && reflect.ValueOf(full.Policy).IsZero() {
			note(cmd, "mirror %s had a policy, and has none from now on: create says all that a mirror is", a[0])
		}
		m, err := c.PutMirror(cmd.Context(), a[0], change)
		if err != nil {
			return err
		}
		for _, text := range m.Warnings {
			note(cmd, "%s", text)
		}
		return cf.print(cmd.OutOrStdout(), m, func(w io.Writer) {
			row(w, "Mirror "+m.Name+" is at "+m.IndexURL)
			lines := "crateyard cargo-config --mirror " + m.Name
			if full.Upstream.Index != "" {
				lines += " --upstream " + m.Spec.Upstream.Index
			}
			row(w, "The lines for cargo: "+lines)
		})
	}
	return cmd
}

// note tells what is no failure.
func note(cmd *cobra.Command, format string, args ...any) {
	_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "note: "+format+"\n", args...)
}

// readSpec reads a spec; without a file it is empty.
func readSpec(cmd *cobra.Command, file string) (*wire.MirrorSpec, error) {
	spec := &wire.MirrorSpec{}
	var data []byte
	var err error
	switch file {
	case "":
		return spec, nil
	case "-":
		data, err = io.ReadAll(io.LimitReader(cmd.InOrStdin(), 4<<20))
	default:
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, err
	}
	// YAML is read as what it says in JSON, so that both have the same keys.
	var plain any
	if err := yaml.Unmarshal(data, &plain); err != nil {
		return nil, fmt.Errorf("--spec %s: %w", file, err)
	}
	text, err := json.Marshal(plain)
	if err != nil {
		return nil, fmt.Errorf("--spec %s: keys must be texts: %w", file, err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(spec); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("--spec %s: %w; `crateyard mirror create --help` shows the keys", file, err)
	}
	return spec, nil
}

// overlay puts what flags say over a spec.
func overlay(cmd *cobra.Command, full *wire.MirrorSpec, flags wire.MirrorSpec) {
	for name, set := range map[string]func(){
		"upstream":     func() { full.Upstream.Index = flags.Upstream.Index },
		"max-age":      func() { full.Upstream.MaxAge = flags.Upstream.MaxAge },
		"contact":      func() { full.Upstream.Contact = flags.Upstream.Contact },
		"mode":         func() { full.Mode = flags.Mode },
		"dependencies": func() { full.Dependencies = flags.Dependencies },
		"rust-version": func() { full.RustVersion = flags.RustVersion },
		"schedule":     func() { full.Schedule = flags.Schedule },
		"suspend":      func() { full.Suspend = flags.Suspend },
		"allow":        func() { full.Policy.Allow = flags.Policy.Allow },
		"deny":         func() { full.Policy.Deny = flags.Policy.Deny },
		"minimum-age":  func() { full.Policy.MinimumAge = flags.Policy.MinimumAge },
	} {
		if cmd.Flags().Changed(name) {
			set()
		}
	}
}

func newMirrorTryCommand(cf *clientFlags) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "try NAME --spec FILE", Short: "Say what a policy would deny, and change nothing", Args: args(cobra.ExactArgs(1)),
		Long: "try holds the policy of a spec (see crateyard mirror create --help) against all index files that a mirror has cached.",
	}
	cmd.Flags().StringVar(&file, "spec", "", "YAML or JSON file with the spec whose policy is tried; - for standard input")
	cmd.RunE = func(cmd *cobra.Command, a []string) error {
		if file == "" {
			return usageError{fmt.Errorf("say --spec FILE")}
		}
		spec, err := readSpec(cmd, file)
		if err != nil {
			return err
		}
		c, err := cf.client()
		if err != nil {
			return err
		}
		d, err := c.TryPolicy(cmd.Context(), a[0], spec.Policy)
		if err != nil {
			return err
		}
		return cf.print(cmd.OutOrStdout(), d, func(w io.Writer) {
			for _, x := range d.Denied {
				cached := ""
				if x.Cached {
					cached = "cached"
				}
				row(w, x.Crate, x.Version, x.Rule, cached, x.Reason)
			}
			for _, p := range d.Problems {
				row(w, "note:", p)
			}
			row(w, fmt.Sprintf("%d of %d versions of %d crates would be denied", d.Total, d.Versions, d.Crates))
		})
	}
	return cmd
}
