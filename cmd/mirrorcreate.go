package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

func newMirrorCreateCommand(cf *clientFlags) *cobra.Command {
	var spec wire.MirrorSpec
	var file, tokenFile, caFile string
	var crates []string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a mirror, or make it another", Args: args(cobra.ExactArgs(1)),
		Long: `create makes a mirror. A mirror of that name that is there already is what the flags say from then on, but for the registry that it mirrors: where
nothing says another upstream, that one stays, with its certificates and its token. What the mirror has cached stays, too.

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
	f.StringVar(&spec.Upstream.Index, "upstream", "", "sparse index of the registry to mirror, sparse+https://…/, or crates-io (default: the one that the mirror has, and of a new one crates.io)")
	f.StringVar(&tokenFile, "upstream-token-file", "", "file with the token for upstream; of a mirror that is there, crateyard mirror token changes it alone")
	f.StringVar(&caFile, "upstream-ca-file", "", "file with certificates, in PEM, that upstream's may be signed by, beside the system's")
	f.Var((*duration)(&spec.Upstream.MaxAge), "max-age", "how long an index file is served without asking upstream (default 5m)")
	f.StringVar(&spec.Upstream.Contact, "contact", "", "address of people, for upstream's; it stands in the User-Agent")
	f.StringVar(&spec.Mode, "mode", "", "OnDemand (default): whatever the policy admits; Pinned: only what is cached")
	f.StringArrayVar(&crates, "crate", nil, "crate to cache ahead, as NAME or NAME@REQUIREMENT; may be repeated")
	f.StringVar(&spec.Dependencies, "dependencies", "", "of these crates: None, Normal (default) or All")
	f.StringVar(&spec.RustVersion, "rust-version", "", "oldest Rust that builds with the mirror, as 1.85: what cargo chooses for it is cached, too")
	f.StringVar(&spec.Schedule, "schedule", "", "when they are looked at again, as cron has it, in UTC")
	f.BoolVar(&spec.Suspend, "suspend", false, "begin no sync but those that are asked for; see crateyard mirror suspend")
	f.Var((*patterns)(&spec.Policy.Allow), "allow", "patterns of crates that may enter; left out: all")
	f.Var((*patterns)(&spec.Policy.Deny), "deny", "patterns of crates that may not, as evil-* or time@<0.2.23")
	f.Var((*duration)(&spec.Policy.MinimumAge), "minimum-age", "how long ago a version must have been published, as 72h or 3d; left out: it may be a moment ago")
	cmd.RunE = func(cmd *cobra.Command, a []string) error {
		full, err := readSpec(cmd, file)
		if err != nil {
			return err
		}
		overlay(cmd, full, spec)
		for _, c := range crates {
			name, versions, at := strings.Cut(c, "@")
			if at && strings.TrimSpace(versions) == "" {
				return usageError{fmt.Errorf("--crate %s: the requirement behind the @ is missing; for any version, say --crate %s", c, name)}
			}
			full.Crates = append(full.Crates, wire.MirrorCrate{Name: name, Versions: versions})
		}
		if caFile != "" {
			data, err := os.ReadFile(caFile)
			if err != nil {
				return err
			}
			full.Upstream.CABundle = string(data)
		}
		var change wire.MirrorChange
		if tokenFile != "" {
			token, err := readToken(cmd.InOrStdin(), tokenFile)
			if err != nil {
				return err
			}
			change.Token = &token
		}
		c, err := cf.client()
		if err != nil {
			return err
		}
		if full.Upstream.Index == cratesIO {
			full.Upstream.Index = wire.CratesIOIndex
		}
		var was *wire.MirrorSpec
		switch old, err := c.Mirror(cmd.Context(), a[0]); {
		case err == nil:
			keepUpstream(full, old.Spec)
			was = &old.Spec
		case !client.IsNotFound(err):
			return err
		}
		change.Spec = *full
		m, err := c.PutMirror(cmd.Context(), a[0], change)
		if err != nil {
			return err
		}
		if was != nil { // told when it is so
			for _, text := range lost(*was, *full, m.Spec) {
				note(cmd, "mirror %s %s: create says all that a mirror is", a[0], text)
			}
		}
		for _, text := range m.Warnings {
			note(cmd, "%s", cf.hints(text))
		}
		for _, text := range carets(full.Policy) {
			note(cmd, "%s", text)
		}
		return cf.print(cmd.OutOrStdout(), m, func(w io.Writer) {
			row(w, "Mirror "+m.Name+" is at "+m.IndexURL)
			lines := "crateyard cargo-config --mirror " + m.Name
			// cargo is to know the registry by the address that it calls its own, by whichever it was reached here.
			own := strings.TrimSuffix(strings.TrimPrefix(m.IndexURL, "sparse+"), "/mirrors/"+m.Name+"/")
			env := strings.TrimRight(os.Getenv("CRATEYARD_URL"), "/")
			if cf.url != "" || env != "" && own != "" && env != own {
				lines += " --url " + firstOf(own, cf.url)
			}
			if m.Spec.Upstream.Index != wire.CratesIOIndex {
				lines += " --upstream " + m.Spec.Upstream.Index
			}
			row(w, "The lines for cargo: "+lines)
		})
	}
	return cmd
}

// cratesIO is what cargo calls crates.io.
const cratesIO = "crates-io"

// keepUpstream leaves a mirror its upstream where a spec names none: who changes a policy does not mean to mirror another registry.
func keepUpstream(spec *wire.MirrorSpec, was wire.MirrorSpec) {
	if spec.Upstream.Index != "" {
		return
	}
	spec.Upstream.Index = was.Upstream.Index
	if spec.Upstream.CABundle == "" {
		spec.Upstream.CABundle = was.Upstream.CABundle
	}
}

// lost says what a mirror was, and by a spec that did not speak of it is no longer, beside its upstream, of which the server warns.
func lost(was, said, is wire.MirrorSpec) (texts []string) {
	entry := func(c wire.MirrorCrate) string { return strings.TrimSpace(c.Name + " " + c.Versions) }
	listed := map[string]bool{}
	for _, c := range is.Crates {
		listed[entry(c)] = true
	}
	var gone []string
	for _, c := range was.Crates {
		if !listed[entry(c)] {
			gone = append(gone, entry(c))
		}
	}
	if n := len(gone); n > 0 {
		if n > maxLost {
			gone = append(gone[:maxLost], fmt.Sprintf("%d more", n-maxLost))
		}
		texts = append(texts, fmt.Sprintf("listed %s to cache ahead, and lists %s from now on", strings.Join(gone, ", "), orNothing(is.Crates)))
	}
	if gone := unsaid(was, said, is); len(gone) > 0 {
		texts = append(texts, "had settings of its own for "+strings.Join(gone, ", ")+", and has the default of each from now on")
	}
	if was.Mode == pinned && is.Mode != pinned {
		texts = append(texts, "gave out nothing but what is cached (mode Pinned), and gives out whatever is asked for from now on")
	}
	return texts
}

// unsaid gives the settings, beside those that lost tells apart, that are another than before although nobody spoke of them.
func unsaid(was, said, is wire.MirrorSpec) (names []string) {
	before, spoken, after := settings(was), settings(said), settings(is)
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, ok := spoken[name]; !ok && before[name] != after[name] {
			names = append(names, name)
		}
	}
	return names
}

// settings gives what a spec says, as JSON, by its keys in mirror.yaml.
func settings(s wire.MirrorSpec) map[string]string {
	s.Crates, s.Mode, s.Upstream.Index = nil, "", ""
	out := map[string]string{}
	var add func(prefix string, v any)
	add = func(prefix string, v any) {
		text, err := json.Marshal(v)
		if err != nil {
			return // it came as JSON
		}
		var fields map[string]json.RawMessage
		if json.Unmarshal(text, &fields) != nil || strings.Count(prefix, ".") > 1 {
			out[strings.TrimSuffix(prefix, ".")] = string(text)
			return
		}
		for key, value := range fields {
			add(prefix+key+".", value)
		}
	}
	add("", s)
	return out
}

const (
	maxLost = 5 // crates that are named
	pinned  = "Pinned"
)

func orNothing(crates []wire.MirrorCrate) string {
	if len(crates) == 0 {
		return "nothing"
	}
	return counted(int64(len(crates)), "crate", "crates")
}

// note tells what is no failure.
func note(cmd *cobra.Command, format string, args ...any) {
	_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "note: "+format+"\n", args...)
}

func newMirrorTryCommand(cf *clientFlags) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "try NAME --spec FILE", Short: "Say what a policy would deny, and change nothing", Args: args(cobra.ExactArgs(1)),
		Long: `try holds the policy of a spec (see crateyard mirror create --help) against all index files that a mirror has cached. What it would deny is no failure; a
policy with which the mirror would give nothing out, since the advisories that it names cannot be read, is one.`,
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
		for _, text := range carets(spec.Policy) {
			note(cmd, "%s", text)
		}
		err = cf.print(cmd.OutOrStdout(), d, func(w io.Writer) {
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
			row(w, fmt.Sprintf("%d of %s of %s would be denied", d.Total, counted(d.Versions, "version", "versions"), counted(d.Crates, "crate", "crates")))
		})
		if err == nil && d.Withheld != "" {
			err = errors.New(d.Withheld)
		}
		return err
	}
	return cmd
}
