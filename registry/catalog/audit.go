package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"iter"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/crate"
)

// Actor is who makes a change, and from where. The zero Actor is the server itself.
type Actor struct {
	UserID    int64
	User      string
	Role      string
	TokenID   int64
	TokenName string
	Address   string // of the client, without a port
}

// Record is one change in the audit: who did what to what, and how it was before and after.
type Record struct {
	ID      int64
	At      time.Time
	Actor   string // user; "crateyard" for the server itself
	TokenID int64  // 0: no token
	Token   string // name of the token
	Address string
	Action  string // such as crate.publish; the constants below
	Crate   string
	Version string
	Subject string          // user, group or token that was changed
	Before  json.RawMessage // nil: nothing to tell
	After   json.RawMessage
}

// The actions of the audit.
const (
	ActionPublish       = "crate.publish"
	ActionYank          = "crate.yank"
	ActionUnyank        = "crate.unyank"
	ActionOwners        = "crate.owners"
	ActionAccess        = "crate.access"
	ActionDeleteVersion = "version.delete"
	ActionRepairVersion = "version.repair" // its size in the catalog, which the archive contradicts
	ActionDeleteCrate   = "crate.delete"
	ActionCreateUser    = "user.create"
	ActionUpdateUser    = "user.update"
	ActionDeleteUser    = "user.delete"
	ActionCreateGroup   = "group.create"
	ActionUpdateGroup   = "group.update"
	ActionDeleteGroup   = "group.delete"
	ActionCreateToken   = "token.create"
	ActionDeleteToken   = "token.delete"
	ActionCreateMirror  = "mirror.create"
	ActionUpdateMirror  = "mirror.update"
	ActionDeleteMirror  = "mirror.delete"
	ActionMirrorDeny    = "mirror.deny" // a policy kept somebody from a crate
	ActionMirrorForget  = "mirror.forget"
	ActionMirrorCache   = "mirror.cache"  // somebody had a version be fetched
	ActionMirrorAdd     = "mirror.add"    // somebody brought the archive of a version
	ActionMirrorImport  = "mirror.import" // somebody loaded a bundle
)

// Actions are all actions of the audit.
var Actions = []string{ActionPublish, ActionImport, ActionYank, ActionUnyank, ActionOwners, ActionAccess, ActionDeleteCrate, ActionDeleteVersion, ActionRepairVersion,
	ActionCreateUser, ActionUpdateUser, ActionDeleteUser, ActionCreateGroup, ActionUpdateGroup, ActionDeleteGroup, ActionCreateToken, ActionDeleteToken,
	ActionCreateMirror, ActionUpdateMirror, ActionDeleteMirror, ActionMirrorDeny, ActionMirrorForget,
	ActionMirrorCache, ActionMirrorAdd, ActionMirrorImport}

// self is the actor of what the server does by itself.
const self = "crateyard"

// audit writes a record in the transaction of the change itself. before and after are made JSON; nil leaves them out.
func (c *Catalog) audit(ctx context.Context, tx *tx, by Actor, r Record, before, after any) error {
	values, err := c.auditValues(by, r, before, after)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, insertAudit, values...)
	return err
}

// auditColumns are what auditValues gives.
const (
	auditColumns = "at, actor, token_id, token, address, action, crate, version, subject, before, after"
	auditMarks   = "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
	insertAudit  = "INSERT INTO audit (" + auditColumns + ") SELECT " + auditMarks
)

func (c *Catalog) auditValues(by Actor, r Record, before, after any) ([]any, error) {
	if by.User == "" {
		by.User = self
	}
	b, err := marshalOrEmpty(before)
	if err != nil {
		return nil, err
	}
	a, err := marshalOrEmpty(after)
	if err != nil {
		return nil, err
	}
	return []any{c.now().Unix(), by.User, by.TokenID, by.TokenName, by.Address, r.Action, r.Crate, r.Version, r.Subject, b, a}, nil
}

func marshalOrEmpty(v any) (string, error) {
	if v == nil {
		return "", nil
	}
	data, err := json.Marshal(v)
	return string(data), err
}

// AuditFilter chooses records. Empty fields choose all.
type AuditFilter struct {
	Actor, Version, Action, Subject, Token, Address string
	Crate                                           string // in any spelling
	TokenID                                         int64
	Since, Until                                    time.Time // Until is not included
	Before                                          int64     // only records with a smaller id; 0: from the newest on
}

// Audit gives records, the newest first. It holds one at a time, and a read transaction until it ends.
func (c *Catalog) Audit(ctx context.Context, f AuditFilter) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		where, args := f.where()
		err := c.read(ctx, func(q querier) error {
			return each(ctx, q, scanRecord, func(r Record) bool { return yield(r, nil) },
				`SELECT id, at, actor, token_id, token, address, action, crate, version, subject, before, after
				FROM audit WHERE `+where+" ORDER BY id DESC", args...)
		})
		if err != nil {
			yield(Record{}, err)
		}
	}
}

func scanRecord(rows *sql.Rows) (r Record, err error) {
	var at int64
	var b, a string
	err = rows.Scan(&r.ID, &at, &r.Actor, &r.TokenID, &r.Token, &r.Address, &r.Action, &r.Crate, &r.Version, &r.Subject, &b, &a)
	r.At = time.Unix(at, 0).UTC()
	if b != "" {
		r.Before = json.RawMessage(b)
	}
	if a != "" {
		r.After = json.RawMessage(a)
	}
	return r, err
}

// VersionAction is a yank or an unyank of a version, as everybody may know of it.
type VersionAction struct {
	Action string // ActionYank or ActionUnyank
	User   string
	UserID int64 // 0: the user is no longer there
	At     time.Time
}

// VersionActions tells of each version of a crate, by its number, what the audit knows was done to it since it was published, the first
// first. What a version of the same number had done to it before the crate was deleted and made again does not count.
func (c *Catalog) VersionActions(ctx context.Context, name string) (map[string][]VersionAction, error) {
	byVersion := map[string][]VersionAction{}
	type row struct {
		VersionAction
		version string
	}
	// An id is never used twice and a name may be: a user who was made later did not do it.
	err := each(ctx, c.ro, func(rows *sql.Rows) (r row, err error) {
		var at int64
		err = rows.Scan(&r.version, &r.Action, &r.User, &r.UserID, &at)
		r.At = time.Unix(at, 0).UTC()
		return r, err
	}, func(r row) bool {
		if r.Action == ActionDeleteCrate {
			clear(byVersion)
		} else {
			byVersion[r.version] = append(byVersion[r.version], r.VersionAction)
		}
		return true
	}, `SELECT a.version, a.action, a.actor, coalesce((SELECT u.id FROM users u WHERE u.name = a.actor AND u.created_at <= a.at), 0), a.at
		FROM audit a WHERE a.crate = ? AND a.action IN (?, ?, ?) ORDER BY a.id`, name, ActionYank, ActionUnyank, ActionDeleteCrate)
	return byVersion, err
}

// where makes the condition from the fields that are set, so that the database can use the index of the one that it knows.
func (f AuditFilter) where() (string, []any) {
	conds, args := []string{"id > 0"}, []any{}
	add := func(set bool, cond string, values ...any) {
		if set {
			conds, args = append(conds, cond), append(args, values...)
		}
	}
	add(f.Actor != "", "actor = ?", f.Actor)
	add(f.Crate != "", "crate IN ("+spellings+")", spellingsOf(f.Crate)...)
	add(f.Version != "", "version = ?", f.Version)
	add(f.Action != "", "action = ?", f.Action)
	add(f.Subject != "", "subject = ?", f.Subject)
	add(f.Token != "", "token = ?", f.Token)
	add(f.TokenID != 0, "token_id = ?", f.TokenID)
	add(f.Address != "", "address = ?", f.Address)
	add(!f.Since.IsZero(), "at >= ?", f.Since.Unix())
	add(!f.Until.IsZero(), "at < ?", f.Until.Unix())
	add(f.Before != 0, "id < ?", f.Before)
	return strings.Join(conds, " AND "), args
}

// spellings are the names of crates, of deleted ones too, that are a name in some spelling, for the index on crate: records keep no other
// form of it. What mirrors tell of need not be a crate of this registry, so the name itself and its common spellings are among them.
const spellings = `SELECT c.name FROM crates c WHERE c.canonical = ? OR (c.canonical >= ? AND c.canonical < ?)
	UNION ALL SELECT value ->> 0 FROM json_each(?)`

func spellingsOf(name string) []any {
	canonical := crate.Canonical(name)
	return []any{canonical, canonical + "#", canonical + "$", // the names of deleted crates, see DeleteCrate; '$' comes right after '#'
		jsonRows([]string{name, strings.ToLower(name), canonical, strings.ReplaceAll(canonical, "_", "-")})}
}

// silence is how long nothing may have happened for PruneAudit to believe the clock, or keep if that is longer.
const silence = 30 * 24 * time.Hour

// PruneAudit drops records that are older than keep, and says how many. On PostgreSQL the database's clock says what is old, and a server
// whose own differs from it by more than MaxClockOffset drops nothing and fails. A clock that jumped forward would have the whole audit be old: so
// nothing is dropped as long as no record would stay, or none for longer than silence before those that stay. After a jump, as after a real
// silence, what was before goes when what came after is older than keep, too.
func (c *Catalog) PruneAudit(ctx context.Context, keep time.Duration) (n int64, err error) {
	now := c.now()
	if c.d.shared {
		offset, err := c.measureClock(ctx)
		if err != nil {
			return 0, err
		}
		if err := clockFault(offset); err != nil {
			return 0, err
		}
		now = now.Add(offset)
	}
	before := now.Add(-keep).Unix()
	err = c.write(ctx, func(tx *tx) ([]change, error) {
		var last, first sql.NullInt64 // of those that go, and of those that stay
		if err := tx.QueryRowContext(ctx, "SELECT max(CASE WHEN at < ? THEN at END), min(CASE WHEN at >= ? THEN at END) FROM audit", before, before).
			Scan(&last, &first); err != nil {
			return nil, err
		}
		if !last.Valid || !first.Valid || first.Int64-last.Int64 > int64(max(keep, silence).Seconds()) {
			return nil, nil
		}
		res, err := tx.ExecContext(ctx, "DELETE FROM audit WHERE at < ?", before)
		if err != nil {
			return nil, err
		}
		n, err = res.RowsAffected()
		return nil, err
	})
	return n, err
}
