package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/index"
)

// A publish asks PostgreSQL a dozen things, and on a busy machine to send one and to wait for its answer costs more than the answer. So the
// common publish goes in two trips. The first begins the transaction and brings what locks and asks, each a statement that sees what was
// committed before it began, so that what locks.go says holds. Then it is decided, by the code that decides for SQLite, and the
// blob is waited for. The second brings one statement that writes everything, and the commit.

// errUncommon means that the publish is none of those, and that nothing was done.
var errUncommon = errors.New("a publish that takes more than two trips")

// publishBatched publishes in two trips, or fails with errUncommon: an import, or a publish that changes what a crate is found by.
func (c *Catalog) publishBatched(ctx context.Context, p Publication, details string, allow func(Standing) error) (changes []change, err error) {
	if p.Imported != nil || p.By.UserID == 0 {
		return nil, errUncommon
	}
	ctx, stop := context.WithTimeout(ctx, writeTimeout)
	defer stop()
	err = c.batches(ctx, func(conn batcher) (open bool, err error) {
		b := &batched{c: c, p: p, conn: conn}
		changes, err = b.publish(ctx, details, allow)
		return b.open, err
	})
	return changes, err
}

// batched is one publish in two trips.
type batched struct {
	c    *Catalog
	p    Publication
	conn batcher
	open bool // a transaction may be

	locked sql.NullInt64 // the crate that publishLock found
}

func (b *batched) publish(ctx context.Context, details string, allow func(Standing) error) ([]change, error) {
	old, err := b.ask(ctx, allow)
	if err != nil {
		return nil, b.c.d.fault(err)
	}
	if b.p.Store != nil {
		if err := b.p.Store(); err != nil {
			return nil, err
		}
	}
	query, args, err := b.statement(old, details)
	if err != nil {
		return nil, err
	}
	if b.p.Durable != nil {
		if err := b.p.Durable(); err != nil {
			return nil, fmt.Errorf("store crate: %w", err)
		}
	}
	// Its outcome would be unknown if it was cut off because the client went away.
	long, stop := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer stop()
	if err := b.write(long, query, args); err != nil {
		return nil, err
	}
	return []change{{crate: b.p.Name, kind: index.KindPublish}}, nil
}

// ask makes the first trip, and gives the crate, or nil when it is new. The crate stays as it is from then on.
func (b *batched) ask(ctx context.Context, allow func(Standing) error) (*published, error) {
	var q queue
	q.add(b.c, "BEGIN")
	if b.p.By.TokenID != 0 { // see as
		q.add(b.c, tokenQuery, b.p.By.TokenID)
	}
	q.add(b.c, publishLock, crate.Canonical(b.p.Name), lockSweep)
	q.add(b.c, crateQuery, b.p.asked()...)
	if b.p.hasDependencies() {
		q.add(b.c, dependenciesQuery, b.p.dependenciesAsked()...)
	}
	if q.err != nil {
		return nil, q.err
	}
	b.open = true
	answers := b.conn.SendBatch(ctx, &q.Batch)
	crateIs, names, err := b.read(answers)
	if cerr := answers.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	old, err := b.p.judge(crateIs, allow, func() error { return b.checkBlocked(ctx) })
	if err == nil && old != nil && old.id != b.locked.Int64 {
		err = errMade
	}
	if err != nil {
		return nil, err
	}
	if old != nil && (old.description != b.p.Details.Description || old.keywords != lowerWords(b.p.Details.Keywords) ||
		old.categories != lowerWords(b.p.Details.Categories)) {
		return nil, errUncommon
	}
	return old, refuseMissing(missingAmong(names, b.p))
}

// read takes the answers in the order of the questions.
func (b *batched) read(answers pgx.BatchResults) (a crateAnswer, names []string, err error) {
	if _, err := answers.Exec(); err != nil { // BEGIN
		return a, nil, err
	}
	if b.p.By.TokenID != 0 {
		if err := b.c.validIn(answers.QueryRow(), b.p.By); err != nil {
			return a, nil, err
		}
	}
	if err := answers.QueryRow().Scan(&b.locked); err != nil {
		return a, nil, err
	}
	if err := a.scan(answers.QueryRow()); err != nil || !b.p.hasDependencies() {
		return a, nil, err
	}
	rows, err := answers.Query()
	if err != nil {
		return a, nil, err
	}
	names, err = pgx.CollectRows(rows, pgx.RowTo[string])
	return a, names, err
}

// checkBlocked asks whether the name of a new crate may be used, in a trip of its own: new crates are rare.
func (b *batched) checkBlocked(ctx context.Context) error {
	var q queue
	q.add(b.c, blockedQuery, crate.Canonical(b.p.Name))
	answers := b.conn.SendBatch(ctx, &q.Batch)
	err := b.c.freeIn(answers.QueryRow(), b.p.Name)
	if cerr := answers.Close(); err == nil {
		err = cerr
	}
	return err
}

// What the second trip writes begins with the crate, old or new, which is not written where a sweep is about to remove the blob. All
// the rest hangs on the version, and that on the crate: it is there whole or not at all.
const (
	writeOld = `WITH c AS (UPDATE crates SET max_version = ?, updated_at = ? WHERE id = ? AND ` + notSwept + ` RETURNING id), `
	writeNew = `WITH c AS (INSERT INTO crates (` + newCrateColumns + `) SELECT ` + newCrateMarks + ` WHERE ` + notSwept + ` RETURNING id),
		o AS (INSERT INTO owners (crate_id, user_id) SELECT c.id, ? FROM c),
		w AS (INSERT INTO crate_words (word, crate_id) SELECT value ->> 0, c.id FROM c, json_each(?)),
		k AS (INSERT INTO crate_keywords (keyword, crate_id) SELECT value ->> 0, c.id FROM c, json_each(?)),
		g AS (INSERT INTO crate_categories (category, crate_id) SELECT value ->> 0, c.id FROM c, json_each(?)), `
	writeVersion = `v AS (INSERT INTO versions (crate_id, ` + publishedColumns + `) SELECT c.id, ` + publishedMarks + ` FROM c RETURNING id),
		d AS (INSERT INTO dependencies (crate, version_id) SELECT value ->> 0, v.id FROM v, json_each(?)),
		a AS (INSERT INTO audit (` + auditColumns + `) SELECT ` + auditMarks + ` FROM v),
		f AS (INSERT INTO changes (` + changeColumns + `) SELECT ` + changeMarks + `, v.id FROM v)
		SELECT count(*) FROM v`
	writeOldVersion, writeNewVersion = writeOld + writeVersion, writeNew + writeVersion
)

// statement gives what the second trip writes.
func (b *batched) statement(old *published, details string) (query string, args []any, err error) {
	p, now := &b.p, b.c.now()
	hidden := p.Restricted
	if old != nil {
		hidden = old.restricted
		query, args = writeOldVersion, slices.Concat([]any{higher(old.maxVersion, p.Version), now.Unix(), old.id}, p.blob())
	} else {
		keywords, categories := lowerWords(p.Details.Keywords), lowerWords(p.Details.Categories)
		query, args = writeNewVersion, slices.Concat(p.newCrate(now), p.blob(), []any{p.By.UserID, jsonRows(crateWords(p.Name, p.Details.Description, keywords)),
			jsonRows(strings.Fields(keywords)), jsonRows(strings.Fields(categories))})
	}
	record, err := b.c.auditValues(p.By, Record{Action: ActionPublish, Crate: p.Name, Version: p.Version.String()}, nil, p.recorded(old == nil))
	if err != nil {
		return "", nil, err
	}
	ch := change{crate: p.Name, kind: index.KindPublish, hidden: hidden}
	return query, slices.Concat(args, p.values(now, details), []any{jsonRows(canonicals(p.Dependencies))}, record, b.c.changeValues(ch)), nil
}

// write makes the second trip.
func (b *batched) write(ctx context.Context, query string, args []any) error {
	var q queue
	q.add(b.c, query, args...)
	q.add(b.c, "COMMIT")
	if q.err != nil {
		return q.err
	}
	answers := b.conn.SendBatch(ctx, &q.Batch)
	var written int
	err := answers.QueryRow().Scan(&written)
	if err == nil {
		_, err = answers.Exec()
	}
	if cerr := answers.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return b.c.commitFault(err) // without a connection nobody knows how far it came
	}
	b.open = false
	if written == 0 {
		return errSwept() // the transaction had nothing to commit
	}
	return nil
}
