package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

func newAuditCommand() *cobra.Command {
	cf := &clientFlags{}
	var q client.AuditQuery
	var since, until string
	var limit int
	cmd := &cobra.Command{
		Use: "audit", Short: "Show who changed what, when and from where, the newest first", Args: args(cobra.NoArgs),
		Long: `audit shows the changes to crates, users, groups and tokens. As a table it stops after --limit records; with -o json it writes all of
them, one JSON object a line, for other programs to read.

Actions are crate.publish, crate.import, crate.yank, crate.unyank, crate.owners, crate.access, crate.delete, version.delete, version.repair, user.create, user.update,
user.delete, group.create, group.update, group.delete, token.create, token.delete, mirror.create, mirror.update, mirror.delete, mirror.deny,
mirror.forget, mirror.cache, mirror.add and mirror.import.`,
		Example: `  crateyard audit --since 24h
  crateyard audit --crate acme-http --version 1.2.0 --action crate.yank
  crateyard audit --user alice --since 2026-01-31T00:00:00Z -o json`,
	}
	cf.add(cmd)
	f := cmd.Flags()
	f.StringVar(&q.User, "user", "", "changes that a user made")
	f.StringVar(&q.Crate, "crate", "", "changes to a crate, in any spelling")
	f.StringVar(&q.Version, "version", "", "changes to a version, such as 1.2.0")
	f.StringVar(&q.Action, "action", "", "changes of one kind, such as crate.yank")
	f.StringVar(&q.Subject, "subject", "", "changes to a user, a group, or a token (user/name)")
	f.StringVar(&q.Token, "token-name", "", "changes that were made with a token of this name")
	f.Int64Var(&q.TokenID, "token-id", 0, "changes that were made with the token of this number")
	f.StringVar(&q.Address, "address", "", "changes that came from this address")
	f.StringVar(&since, "since", "", "from a time on: 24h or 7d ago, or 2026-01-31T00:00:00Z")
	f.StringVar(&until, "until", "", "before a time, written in the same ways")
	f.IntVar(&limit, "limit", 100, "how many records at most; 0 for all (default with -o json)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		for flag, to := range map[string]struct {
			text string
			at   *time.Time
		}{"since": {since, &q.Since}, "until": {until, &q.Until}} {
			var err error
			if *to.at, err = parseTime(to.text, time.Now()); err != nil {
				return usageError{fmt.Errorf("--%s: %w", flag, err)}
			}
		}
		if q.TokenID < 0 {
			return usageError{fmt.Errorf("--token-id %d: it must be the number of a token", q.TokenID)}
		}
		if limit < 0 {
			return usageError{fmt.Errorf("--limit %d: it must not be negative", limit)}
		}
		if cf.output == "json" && !cmd.Flags().Changed("limit") {
			limit = 0
		}
		c, err := cf.client()
		if err != nil {
			return err
		}
		return cf.printAudit(cmd.OutOrStdout(), c.AuditLines(cmd.Context(), q), limit)
	}
	return cmd
}

// printAudit writes records as they come: as lines of JSON, or as a table of limit records at most; 0 is no limit.
func (c *clientFlags) printAudit(out io.Writer, records func(func(wire.AuditRecord, error) bool), limit int) (err error) {
	shown, more := []wire.AuditRecord{}, false
	enc := json.NewEncoder(out)
	n := 0
	for r, e := range records {
		if e != nil {
			return e
		}
		if n++; limit > 0 && n > limit {
			more = true
			break
		}
		if c.output != "json" {
			shown = append(shown, r)
		} else if err := enc.Encode(r); err != nil {
			return err
		}
	}
	if c.output == "json" {
		return nil
	}
	return c.print(out, shown, func(w io.Writer) {
		row(w, "TIME", "USER", "TOKEN", "ADDRESS", "ACTION", "WHAT", "CHANGE")
		for _, r := range shown {
			row(w, r.At.Format(time.RFC3339), r.Actor, firstOf(r.Token, "-"), firstOf(r.Address, "-"), r.Action, what(r), difference(r.Before, r.After))
		}
		if more {
			row(w, fmt.Sprintf("… there are older records: say --limit, now %d", limit))
		}
	})
}

// what names what a record is about; a crate of a mirror as MIRROR/CRATE, since it is another than that of the registry or of another mirror.
func what(r wire.AuditRecord) string {
	if r.Crate == "" {
		return r.Subject
	}
	text := strings.TrimSuffix(r.Crate+"@"+r.Version, "@")
	if strings.HasPrefix(r.Action, "mirror.") && r.Subject != "" {
		return r.Subject + "/" + text
	}
	return text
}

// parseTime reads a time, or how long ago it was; an empty text is no time.
func parseTime(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return at, nil
	}
	if d, err := parseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("%q: write 24h or 7d for how long ago, or a time such as 2026-01-31T00:00:00Z", s)
}

// difference tells in one line what a record changed: what is new as name=value, what is gone as name was value, the rest as
// name=before→after.
func difference(before, after json.RawMessage) string {
	was, is := fields(before), fields(after)
	names := slices.Collect(maps.Keys(is))
	for name := range was {
		if _, ok := is[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var parts []string
	for _, name := range names {
		old, had := was[name]
		now, has := is[name]
		switch before, after := valueText(old), valueText(now); {
		case !had:
			parts = append(parts, name+"="+after)
		case !has:
			parts = append(parts, name+" was "+before)
		case before != after:
			parts = append(parts, name+"="+before+"→"+after)
		}
	}
	return firstOf(strings.Join(parts, " "), "-")
}

// fields reads one side of a record; nil where it has none. Numbers stay as they are written.
func fields(side json.RawMessage) (f map[string]any) {
	dec := json.NewDecoder(bytes.NewReader(side))
	dec.UseNumber()
	if dec.Decode(&f) != nil {
		return nil
	}
	return f
}

func valueText(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case []any:
		list := make([]string, 0, len(v))
		for _, e := range v {
			list = append(list, fmt.Sprint(e))
		}
		return listOr(list, "-")
	case string:
		if strings.ContainsAny(v, " \t\r\n") {
			return strconv.Quote(v)
		}
		return firstOf(v, "-")
	}
	return fmt.Sprint(v)
}
