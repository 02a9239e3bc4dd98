package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/wire"
)

// measurePrecaching has a mirror cache versions ahead from the upstream, which is a server as ours.
func measurePrecaching(ctx context.Context, b *bench) (result, error) {
	m, err := b.upstreamOf(ctx)
	if err != nil {
		return result{}, err
	}
	return b.precaching(ctx, m, "ahead", m.up.URL, "")
}

// measurePrecachingFromNginx is the same from nginx, which takes less of the processors that all of them share: what is measured is the mirror.
func measurePrecachingFromNginx(ctx context.Context, b *bench) (result, error) {
	m, err := b.upstreamOf(ctx)
	if err != nil {
		return result{}, err
	}
	var names, versions []string
	for i := range syncCrates {
		names = append(names, syncCrate(i))
	}
	for v := range syncVersions {
		versions = append(versions, syncVersion(v))
	}
	if err := b.toNginx(ctx, m, "ahead", names, versions); err != nil {
		return result{}, err
	}
	return b.precaching(ctx, m, "nginx-ahead", b.files+"/ahead", ", from nginx")
}

func syncCrate(i int) string   { return fmt.Sprintf("sync-%03d", i) }
func syncVersion(v int) string { return fmt.Sprintf("1.%d.0", v) }

// precaching has mirrors of an upstream cache versions ahead, in turns with curl, which gets the same files with as many requests at once. Both take a few tenths of a
// second, in which much can come in between, so there are more rounds than elsewhere, and one before them that does not count: it warms upstream, mirror and
// curl. Nothing of the one is left to write to the disk when the other begins, each writes where nothing was before, and they take turns at being first.
func (b *bench) precaching(ctx context.Context, m *mirrored, name, upstream, note string) (result, error) {
	spec := wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: "sparse+" + upstream + "/index/", Concurrency: 16}}
	for i := range syncCrates {
		spec.Crates = append(spec.Crates, wire.MirrorCrate{Name: syncCrate(i), Latest: syncVersions})
	}
	var o, t time.Duration
	halves := []func(round int) error{
		func(round int) (err error) {
			o, err = b.cacheAhead(ctx, m, fmt.Sprintf("%s-%d", name, round), spec)
			return err
		},
		func(round int) (err error) {
			t, err = b.curlAhead(ctx, upstream, fmt.Sprintf("%s-curl-%d", name, round))
			return err
		},
	}
	var ours, theirs, ratios []float64
	for round := range 3*b.rounds + 1 {
		for half := range halves {
			syscall.Sync()
			if err := halves[(round+half)%2](round); err != nil {
				return result{}, err
			}
		}
		if round > 0 {
			ours, theirs, ratios = append(ours, ms(o)), append(theirs, ms(t)), append(ratios, ms(o)/ms(t))
		}
	}
	return result{fmt.Sprintf("caching %d versions ahead, 16 at once, durable%s", syncCrates*syncVersions, note), fmt.Sprintf("%.0f ms", median(ours)),
		fmt.Sprintf("curl --parallel: %.0f ms", median(theirs)), fmt.Sprintf("%.2f", median(ratios)), "at most 1.50", atMost("the ratio", median(ratios), 1.5)}, nil
}

// cacheAhead has a new mirror sync, and gives how long that took.
func (b *bench) cacheAhead(ctx context.Context, m *mirrored, name string, spec wire.MirrorSpec) (time.Duration, error) {
	if err := m.put(ctx, name, spec); err != nil {
		return 0, err
	}
	st, err := b.synced(ctx, m, name)
	if err != nil {
		return 0, err
	}
	if st.Fetched != syncCrates*syncVersions {
		return 0, fmt.Errorf("the sync fetched %d versions: %+v", st.Fetched, st)
	}
	return st.LastEnded.Sub(*st.LastStarted), nil
}

// curlAhead has curl get what a sync caches into a new folder, and gives how long that took.
func (b *bench) curlAhead(ctx context.Context, upstream, folder string) (time.Duration, error) {
	var urls strings.Builder
	for i := range syncCrates {
		name := syncCrate(i)
		fmt.Fprintf(&urls, "url = %q\noutput = %q\n", upstream+"/index/"+index.Path(name), filepath.Join(b.dir, folder, name))
		for v := range syncVersions {
			fmt.Fprintf(&urls, "url = \"%s/crates/%s/%s/download\"\noutput = \"%s/%s/%s-%d\"\n", upstream, name, syncVersion(v), b.dir, folder, name, v)
		}
	}
	list := filepath.Join(b.dir, "curl.list")
	if err := os.WriteFile(list, []byte(urls.String()), 0o644); err != nil {
		return 0, err
	}
	begin := time.Now()
	if out, err := exec.CommandContext(ctx, "curl", "-sS", "--fail", "--parallel", "--parallel-max", "16", "--create-dirs", "-K", list).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("curl: %w\n%s", err, out)
	}
	return time.Since(begin), nil
}
