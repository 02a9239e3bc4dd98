package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/crateyard/crateyard/registry/wire"
)

// readSpec reads a spec; without a file it is empty, and a file that is empty is refused.
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
	if err := saysSomething(plain); err != nil {
		return nil, fmt.Errorf("--spec %s: %w", file, err)
	}
	if err := fits("", plain, reflect.TypeFor[wire.MirrorSpec]()); err != nil {
		return nil, fmt.Errorf("--spec %s: %w", file, err)
	}
	text, err := json.Marshal(plain)
	if err == nil {
		err = json.Unmarshal(text, spec)
	}
	if err != nil {
		return nil, fmt.Errorf("--spec %s: %w; `crateyard mirror create --help` shows the keys", file, err)
	}
	return spec, nil
}

// saysSomething refuses what was hardly meant: the empty output of a template that failed, which would have all of a mirror be the default, and a manifest.
func saysSomething(spec any) error {
	keys, _ := spec.(map[string]any)
	_, kind := keys["kind"]
	switch {
	case spec == nil:
		return errors.New("it is empty; a mirror with the default of everything, and without a policy, is said with {}")
	case kind && keys["apiVersion"] != nil:
		return errors.New("it is a manifest, for kubectl apply; here goes what stands below its spec, without registryRef, with keys as max_age for maxAge, sizes in bytes, " +
			"and certificates and tokens by flags: `crateyard mirror create --help` shows the keys")
	}
	return nil
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
