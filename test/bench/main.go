// Command bench measures the server against what stands beside it in the same run: nginx serving the same bytes, and a bare
// loop of the same writes. It prints a table of ratios, and with -write puts it into docs/performance.md.
//
// Rounds alternate between the two, so that a noisy neighbour hits both; a figure is the median of the rounds' ratios. nginx
// and wrk must be on the PATH (make bench installs them).
//
// It ends with an error when a figure misses its limit, after the table is written.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	rounds := flag.Int("rounds", 5, "rounds of each measurement")
	length := flag.Duration("length", 3*time.Second, "length of one half of a round")
	write := flag.String("write", "", "file whose table to replace")
	only := flag.String("only", "", "measure only what has this in its name")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *rounds, *length, *write, *only); err != nil {
		log.Fatal("bench: ", err)
	}
}

// result is one line of the table.
type result struct {
	work, ours, theirs, ratio, least string
	missed                           []string // which limits, and by how much
}

// atLeast and atMost hold a figure, as measured and not as the table rounds it, against its limit.
func atLeast(what string, got, limit float64) []string {
	if got >= limit {
		return nil
	}
	return []string{fmt.Sprintf("%s is %.4g, and should be at least %g", what, got, limit)}
}

func atMost(what string, got, limit float64) []string {
	if got <= limit {
		return nil
	}
	return []string{fmt.Sprintf("%s is %.4g, and should be at most %g", what, got, limit)}
}

func misses(of ...[]string) []string { return slices.Concat(of...) }

// verdict is an error that names every limit that was missed; nil: none was.
func verdict(results []result) error {
	var all []string
	for _, r := range results {
		for _, m := range r.missed {
			all = append(all, "  "+r.work+": "+m)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return fmt.Errorf("%d figures miss their limits:\n%s", len(all), strings.Join(all, "\n"))
}

// measurement makes one result; it says on the way what it does.
type measurement struct {
	name string
	run  func(ctx context.Context, b *bench) (result, error)
}

func run(ctx context.Context, rounds int, length time.Duration, write, only string) (err error) {
	dir, err := os.MkdirTemp("", "crateyard-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a leftover in the temporary folder harms nobody
	_ = spread(dir)                          // another filesystem has no such flag, and no need of it
	b := &bench{dir: dir, rounds: rounds, length: length}
	defer func() {
		if cerr := b.close(); err == nil {
			err = cerr
		}
	}()
	if err := b.start(ctx); err != nil {
		return err
	}
	var results []result
	for _, m := range measurements {
		if !strings.Contains(m.name, only) {
			continue
		}
		log.Printf("measuring %s …", m.name)
		r, err := m.run(ctx, b)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		results = append(results, r)
		log.Printf("  %s | %s | %s | %s", r.ours, r.theirs, r.ratio, r.least)
	}
	table := render(results)
	fmt.Print(table)
	if write != "" {
		if err := replace(write, table); err != nil {
			return err
		}
	}
	return verdict(results)
}

func render(results []result) string {
	var s strings.Builder
	s.WriteString("| work | crateyard | beside it | ratio | at least |\n|---|---|---|---|---|\n")
	for _, r := range results {
		fmt.Fprintf(&s, "| %s | %s | %s | %s | %s |\n", r.work, r.ours, r.theirs, r.ratio, r.least)
	}
	return s.String()
}

// The table stands between these two lines of the document.
const begin, end = "<!-- bench:begin -->\n", "<!-- bench:end -->\n"

func replace(file, table string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(data), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no lines %q and %q", file, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	tmp := filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".new")
	if err := os.WriteFile(tmp, []byte(head+begin+table+end+tail), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}

func median(xs []float64) float64 {
	s := slices.Sorted(slices.Values(xs))
	return s[len(s)/2]
}
