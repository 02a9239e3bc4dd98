package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/mirror/policy"
	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/serve"
	"github.com/crateyard/crateyard/test/upload"
)

// The upstream of these measurements is a server of its own, filled with crates of the usual sizes.
const (
	fetchCrates    = 200 // crates of the lockfile
	syncCrates     = 100 // of the pre-caching, with
	syncVersions   = 10  // versions each
	memoryCrates   = 10_000
	policyVersions = 1000
)

// mirrored is an upstream, and the server that mirrors it.
type mirrored struct {
	up     *serve.Server
	client *client.Client
	names  []string
}

// upstreamOf starts an upstream with crates, once.
func (b *bench) upstreamOf(ctx context.Context) (*mirrored, error) {
	if b.mirror != nil {
		return b.mirror, nil
	}
	up, err := serve.Start(filepath.Join(b.dir, "upstream"))
	if err != nil {
		return nil, err
	}
	m := &mirrored{up: up, client: client.New(b.server.URL, b.server.AdminToken)}
	b.mirror = m
	publisher := serve.NewClient(up.URL, up.AdminToken)
	defer publisher.Close()
	put := func(name, version string) error {
		text := make([]byte, 2_000+rand.IntN(60_000))
		for i := range text {
			text[i] = "abcdefghijklmnop \n"[rand.IntN(18)]
		}
		status, body, err := publisher.Do("PUT", "/api/v1/crates/new", upload.New(name, version, append([]byte("// "), strings.ReplaceAll(string(text), "\n", "\n// ")...)).Frame)
		if err == nil && status != 200 {
			err = fmt.Errorf("publish %s %s: %d %s", name, version, status, body)
		}
		return err
	}
	for i := range fetchCrates {
		name := fmt.Sprintf("fetch-%03d", i)
		m.names = append(m.names, name)
		if err := put(name, "1.0.0"); err != nil {
			return nil, err
		}
	}
	for i := range syncCrates {
		for v := range syncVersions {
			if err := put(syncCrate(i), syncVersion(v)); err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

func (m *mirrored) put(ctx context.Context, name string, spec wire.MirrorSpec) error {
	if spec.Upstream.Index == "" {
		spec.Upstream.Index = "sparse+" + m.up.URL + "/index/"
	}
	_, err := m.client.PutMirror(ctx, name, wire.MirrorChange{Spec: spec})
	return err
}

// app makes a package that depends on all crates of the lockfile, with its lockfile.
func (b *bench) app(ctx context.Context, m *mirrored) (string, error) {
	dir := filepath.Join(b.dir, "app")
	if _, err := os.Stat(filepath.Join(dir, "Cargo.lock")); err == nil {
		return dir, nil
	}
	manifest := "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\n"
	for _, n := range m.names {
		manifest += n + " = \"1\"\n"
	}
	if err := os.MkdirAll(filepath.Join(dir, "src"), 0o755); err != nil {
		return "", err
	}
	for file, text := range map[string]string{"Cargo.toml": manifest, "src/lib.rs": ""} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	_, err := b.cargo(ctx, dir, "sparse+"+m.up.URL+"/index/", "generate-lockfile")
	return dir, err
}

// cargo runs cargo with a home of its own, in which crates.io is the given index, and gives how long it took.
func (b *bench) cargo(ctx context.Context, dir, index string, args ...string) (time.Duration, error) {
	home, err := os.MkdirTemp(b.dir, "home-")
	if err != nil {
		return 0, err
	}
	config := fmt.Sprintf("[source.crates-io]\nreplace-with = \"it\"\n[source.it]\nregistry = %q\n", index)
	if err := os.WriteFile(filepath.Join(home, "config.toml"), []byte(config), 0o644); err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, "cargo", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CARGO_HOME="+home)
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(begin)
	if err != nil {
		return 0, fmt.Errorf("cargo %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return took, nil
}

// fetches has cargo fetch the lockfile from two indexes in turns, each time with an empty home. Nothing of the one is left to write to the disk when the
// other begins, they take turns at being first, and the first round does not count.
func (b *bench) fetches(ctx context.Context, dir string, ours func(round int) (string, error), theirs string) (o, t, ratio float64, err error) {
	var os, ts, ratios []float64
	for round := range 2*b.rounds + 1 {
		address, err := ours(round)
		if err != nil {
			return 0, 0, 0, err
		}
		addresses := [2]string{address, theirs}
		var took [2]time.Duration
		for i := range took {
			half := (i + round) % 2
			syscall.Sync()
			if took[half], err = b.cargo(ctx, dir, addresses[half], "fetch", "--locked"); err != nil {
				return 0, 0, 0, err
			}
		}
		if round > 0 {
			os, ts, ratios = append(os, ms(took[0])), append(ts, ms(took[1])), append(ratios, ms(took[0])/ms(took[1]))
		}
	}
	return median(os), median(ts), median(ratios), nil
}

func measureWarmMirror(ctx context.Context, b *bench) (result, error) {
	m, err := b.upstreamOf(ctx)
	if err != nil {
		return result{}, err
	}
	dir, err := b.app(ctx, m)
	if err != nil {
		return result{}, err
	}
	if err := m.put(ctx, "warm", wire.MirrorSpec{}); err != nil {
		return result{}, err
	}
	warm := "sparse+" + b.server.URL + "/mirrors/warm/"
	if _, err := b.cargo(ctx, dir, warm, "fetch", "--locked"); err != nil {
		return result{}, err
	}
	if err := b.toNginx(ctx, m, "mirror", m.names, []string{"1.0.0"}); err != nil {
		return result{}, err
	}
	o, t, ratio, err := b.fetches(ctx, dir, func(int) (string, error) { return warm, nil }, "sparse+"+b.files+"/mirror/index/")
	return result{fmt.Sprintf("cold `cargo fetch` of %d crates through a warm mirror", fetchCrates), fmt.Sprintf("%.0f ms", o), fmt.Sprintf("nginx, the same files: %.0f ms", t),
		fmt.Sprintf("%.2f", ratio), "at most 1.10", atMost("the ratio", ratio, 1.1)}, err
}

// toNginx gives nginx an index of crates, and their files, in a folder: the same bytes that the upstream has.
func (b *bench) toNginx(ctx context.Context, m *mirrored, folder string, names, versions []string) error {
	write := func(path string, data []byte) error {
		file := filepath.Join(b.dir, "www", folder, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		return os.WriteFile(file, data, 0o644)
	}
	if err := write("index/config.json", fmt.Appendf(nil, `{"dl":"%s/%s/crates"}`, b.files, folder)); err != nil {
		return err
	}
	for _, name := range names {
		paths := []string{"index/" + index.Path(name)}
		for _, v := range versions {
			paths = append(paths, "crates/"+name+"/"+v+"/download")
		}
		for _, path := range paths {
			data, _, status, err := fetch(ctx, m.up.URL+"/"+path)
			if err != nil || status != 200 {
				return fmt.Errorf("%s: %d %w", path, status, err)
			}
			if err := write(path, data); err != nil {
				return err
			}
		}
	}
	return nil
}

func measureColdMirror(ctx context.Context, b *bench) (result, error) {
	m, err := b.upstreamOf(ctx)
	if err != nil {
		return result{}, err
	}
	dir, err := b.app(ctx, m)
	if err != nil {
		return result{}, err
	}
	cold := func(round int) (string, error) {
		name := fmt.Sprintf("cold-%d", round)
		return "sparse+" + b.server.URL + "/mirrors/" + name + "/", m.put(ctx, name, wire.MirrorSpec{})
	}
	o, t, ratio, err := b.fetches(ctx, dir, cold, "sparse+"+m.up.URL+"/index/")
	return result{"the same through a cold mirror", fmt.Sprintf("%.0f ms", o), fmt.Sprintf("from the upstream itself: %.0f ms", t), fmt.Sprintf("%.2f", ratio), "at most 1.30", atMost("the ratio", ratio, 1.3)}, err
}

// synced waits for the end of the first sync of a mirror.
func (b *bench) synced(ctx context.Context, m *mirrored, name string) (wire.MirrorSync, error) {
	for {
		one, err := m.client.Mirror(ctx, name)
		if err != nil {
			return wire.MirrorSync{}, err
		}
		if s := one.Status.Sync; s.LastEnded != nil && !s.Running {
			return s, nil
		}
		select {
		case <-time.After(250 * time.Millisecond): // a look costs the server, too
		case <-ctx.Done():
			return wire.MirrorSync{}, ctx.Err()
		}
	}
}

// measurePrecachingMemory caches many crates ahead from nginx, each with an index file of the usual size.
func measurePrecachingMemory(ctx context.Context, b *bench) (result, error) {
	m, err := b.upstreamOf(ctx)
	if err != nil {
		return result{}, err
	}
	crate := upload.New("any", "1.0.0", []byte("// the same for all\n")).Archive
	sum := sha256.Sum256(crate)
	root := filepath.Join(b.dir, "www", "many")
	write := func(path string, data []byte) error {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(root, path), data, 0o644)
	}
	// A template with a marker, so that all archives are one file.
	if err := write("config.json", fmt.Appendf(nil, `{"dl":"%s/many/one.crate?{crate}"}`, b.files)); err != nil {
		return result{}, err
	}
	if err := write("one.crate", crate); err != nil {
		return result{}, err
	}
	spec := wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: "sparse+" + b.files + "/many/"}}
	for i := range memoryCrates {
		name := fmt.Sprintf("m%04d-crate", i)
		var file strings.Builder
		for v := range 40 {
			fmt.Fprintf(&file, `{"name":%q,"vers":"1.%d.0","deps":[{"name":"serde","req":"^1","features":["derive"],"optional":true,"default_features":true,"target":null,"kind":"dev"}],"cksum":"%s","features":{},"yanked":false}`+"\n",
				name, v, hex.EncodeToString(sum[:]))
		}
		if err := write(index.Path(name), []byte(file.String())); err != nil {
			return result{}, err
		}
		spec.Crates = append(spec.Crates, wire.MirrorCrate{Name: name})
	}
	server, err := serve.Start(filepath.Join(b.dir, "memory"))
	if err != nil {
		return result{}, err
	}
	defer func() { _ = server.Stop() }() // it was measured
	fresh := &mirrored{up: m.up, client: client.New(server.URL, server.AdminToken)}
	if err := fresh.put(ctx, "many", spec); err != nil {
		return result{}, err
	}
	var st wire.MirrorSync
	most, err := mostOf(fmt.Sprint(server.Pid), func() (err error) {
		st, err = b.synced(ctx, fresh, "many")
		return err
	})
	if err == nil && st.Done != memoryCrates {
		err = fmt.Errorf("the sync cached %d: %+v", st.Done, st)
	}
	return result{fmt.Sprintf("resident memory while caching %d crates ahead", memoryCrates), fmt.Sprintf("%.0f MiB", most), "", "", "at most 150 MiB", atMost("memory", most, 150)}, err
}

// measurePolicy holds a policy against an index file, beside reading its lines.
func measurePolicy(context.Context, *bench) (result, error) {
	p, err := policy.Compile(wire.MirrorPolicy{Deny: []string{"evil-*", "bench@<0.2"}, MinimumAge: wire.Duration(72 * time.Hour), Yanked: "Deny"})
	if err != nil {
		return result{}, err
	}
	var file strings.Builder
	for v := range policyVersions {
		fmt.Fprintf(&file, `{"name":"bench","vers":"1.%d.0","deps":[`, v)
		for d := range 10 {
			if d > 0 {
				file.WriteByte(',')
			}
			fmt.Fprintf(&file, `{"name":"dep-%d","req":"^1.%d","features":["std","derive"],"optional":false,"default_features":true,"target":null,"kind":"normal"}`, d, v)
		}
		fmt.Fprintf(&file, `],"cksum":"%064x","features":{"default":["std"],"std":[]},"yanked":false,"pubtime":"2024-01-01T00:00:00Z","v":2}`+"\n", v)
	}
	text := []byte(file.String())
	var times []float64
	for range 50 {
		begin := time.Now()
		p.Filter(text, policy.Options{Now: time.Now()})
		times = append(times, ms(time.Since(begin)))
	}
	return result{fmt.Sprintf("policy over an index file of %d versions, %.1f MB", policyVersions, float64(len(text))/1e6), fmt.Sprintf("%.2f ms", median(times)), "", "", "under 1 ms", atMost("the time in ms", median(times), 1)}, nil
}
