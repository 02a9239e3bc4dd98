package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
)

// Token is what is known of a token. The token itself is known to its holder alone.
type Token struct {
	ID         int64
	UserID     int64
	UserName   string
	Name       string
	ParentID   int64    // the token with which its holder made it, and with which it ends; 0: an administrator made it
	Scopes     []string // empty: all that the user's role allows
	Crates     []string // patterns; empty: every crate
	CreatedAt  time.Time
	ExpiresAt  *time.Time // nil: never
	LastUsedAt *time.Time // nil: never; written in batches, so up to a minute late
}

const tokenColumns = "t.id, t.user_id, u.name, t.name, t.scopes, t.crates, t.created_at, t.expires_at, t.last_used_at"

func scanToken(row interface{ Scan(...any) error }, more ...any) (Token, error) {
	var t Token
	var scopes, crates string
	var created int64
	var expires, used sql.NullInt64
	err := row.Scan(append([]any{&t.ID, &t.UserID, &t.UserName, &t.Name, &scopes, &crates, &created, &expires, &used}, more...)...)
	t.Scopes, t.Crates = strings.Fields(scopes), strings.Fields(crates)
	t.CreatedAt = time.Unix(created, 0).UTC()
	t.ExpiresAt, t.LastUsedAt = fromUnix(expires), fromUnix(used)
	return t, err
}

// TokenByHash finds a token and its user by the SHA-256 of the token.
func (c *Catalog) TokenByHash(ctx context.Context, hash [32]byte) (Token, User, error) {
	var u User
	var claims string
	t, err := scanToken(c.ro.QueryRowContext(ctx, "SELECT "+tokenColumns+", u.role, u.suspended, u.claims FROM tokens t JOIN users u ON u.id = t.user_id WHERE t.hash = ?",
		hash[:]), &u.Role, &u.Suspended, &claims)
	if errors.Is(err, sql.ErrNoRows) {
		return Token{}, User{}, fault.New(fault.NotFound, "no such token")
	}
	u.ID, u.Name, u.Claims = t.UserID, t.UserName, strings.Fields(claims)
	return t, u, err
}

// Tokens lists tokens by their age, those of one user or, with an empty name, of all.
func (c *Catalog) Tokens(ctx context.Context, user string) ([]Token, error) {
	return collect(ctx, c.ro, func(r *sql.Rows) (Token, error) { return scanToken(r) },
		"SELECT "+tokenColumns+" FROM tokens t JOIN users u ON u.id = t.user_id WHERE ? IN ('', u.name) ORDER BY t.id", user)
}

// CreateToken adds a token to the user named in it, by its hash.
func (c *Catalog) CreateToken(ctx context.Context, by Actor, t Token, hash [32]byte) (Token, error) {
	t.CreatedAt = c.now().UTC().Truncate(time.Second)
	err := c.writeAs(ctx, by, func(tx *tx) ([]change, error) {
		u, err := userByName(ctx, tx, t.UserName)
		if err != nil {
			return nil, err
		}
		t.UserID = u.ID
		if err := tx.lock(ctx, lockTokens, u.ID); err != nil {
			return nil, err
		}
		var count int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM tokens WHERE user_id = ?", u.ID).Scan(&count); err != nil {
			return nil, err
		}
		if count >= maxTokens {
			return nil, fault.New(fault.Conflict, "user `%s` has %d tokens, which is the limit; revoke some first", u.Name, count)
		}
		if err := insertToken(ctx, tx, &t, hash); err != nil {
			return nil, err
		}
		return nil, c.audit(ctx, tx, by, Record{Action: ActionCreateToken, Subject: t.subject()}, nil, t.state())
	})
	return t, err
}

// maxTokens bounds the tokens of one user, as on crates.io.
const maxTokens = 500

// subject and state are what the audit tells of a token.
func (t Token) subject() string { return t.UserName + "/" + t.Name }

func (t Token) state() map[string]any {
	return map[string]any{"id": t.ID, "scopes": append([]string{}, t.Scopes...), "crates": append([]string{}, t.Crates...), "expires_at": t.ExpiresAt}
}

func insertToken(ctx context.Context, tx *tx, t *Token, hash [32]byte) error {
	return tx.QueryRowContext(ctx, `INSERT INTO tokens (user_id, name, parent_id, hash, scopes, crates, created_at, expires_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
		t.UserID, t.Name, sql.NullInt64{Int64: t.ParentID, Valid: t.ParentID != 0}, hash[:], strings.Join(t.Scopes, " "), strings.Join(t.Crates, " "), t.CreatedAt.Unix(), toUnix(t.ExpiresAt)).Scan(&t.ID)
}

// ReplaceToken makes hash the one token of its name that the user has: the others of that name stop working. Where it is that already nothing is
// written: a server that starts while the catalog takes no writes serves reads.
func (c *Catalog) ReplaceToken(ctx context.Context, t Token, hash [32]byte) error {
	return c.write(ctx, func(tx *tx) ([]change, error) {
		u, err := userByName(ctx, tx, t.UserName)
		if err != nil {
			return nil, err
		}
		if err := tx.lock(ctx, lockTokens, u.ID); err != nil {
			return nil, err
		}
		var others, same bool
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM tokens WHERE user_id = ? AND name = ? AND hash <> ?),
			EXISTS (SELECT 1 FROM tokens WHERE user_id = ? AND hash = ?)`, u.ID, t.Name, hash[:], u.ID, hash[:]).Scan(&others, &same); err != nil || same && !others {
			return nil, err
		}
		res, err := tx.ExecContext(ctx, "DELETE FROM tokens WHERE user_id = ? AND name = ? AND hash <> ?", u.ID, t.Name, hash[:])
		if err != nil {
			return nil, err
		}
		if gone, err := res.RowsAffected(); err != nil || gone > 0 {
			t.UserID = u.ID
			if err := cmp.Or(err, c.audit(ctx, tx, Actor{}, Record{Action: ActionDeleteToken, Subject: t.subject()}, map[string]any{"tokens": gone}, nil)); err != nil {
				return nil, err
			}
		}
		if same {
			return nil, nil
		}
		t.UserID, t.CreatedAt = u.ID, c.now()
		if err := insertToken(ctx, tx, &t, hash); err != nil {
			return nil, err
		}
		return nil, c.audit(ctx, tx, Actor{}, Record{Action: ActionCreateToken, Subject: t.subject()}, nil, t.state())
	})
}

// DeleteToken revokes a token for ever. owner, where it is not empty, is the user whose it must be. Those with the name and the
// user of keep stay, as if they were not there.
func (c *Catalog) DeleteToken(ctx context.Context, by Actor, id int64, owner string, keep Token) error {
	return c.writeAs(ctx, by, func(tx *tx) ([]change, error) {
		t, err := scanToken(tx.QueryRowContext(ctx, "SELECT "+tokenColumns+" FROM tokens t JOIN users u ON u.id = t.user_id WHERE t.id = ?", id))
		if errors.Is(err, sql.ErrNoRows) || err == nil && (t.subject() == keep.subject() || owner != "" && t.UserName != owner) {
			return nil, fault.New(fault.NotFound, "there is no token %d that could be revoked", id)
		}
		if err != nil {
			return nil, err
		}
		if err := tx.lock(ctx, lockTokens, t.UserID); err != nil { // nobody makes one with it meanwhile
			return nil, err
		}
		made, err := collect(ctx, tx, func(r *sql.Rows) (Token, error) { return scanToken(r) }, `WITH RECURSIVE made (id) AS (
			SELECT id FROM tokens WHERE parent_id = ? UNION ALL SELECT c.id FROM tokens c JOIN made m ON c.parent_id = m.id)
			SELECT `+tokenColumns+" FROM tokens t JOIN users u ON u.id = t.user_id JOIN made m ON m.id = t.id ORDER BY t.id", id)
		if err != nil {
			return nil, err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM tokens WHERE id = ?", id); err != nil {
			return nil, err
		}
		for _, t := range append([]Token{t}, made...) { // those that were made with it end with it
			if err := c.audit(ctx, tx, by, Record{Action: ActionDeleteToken, Subject: t.subject()}, t.state(), nil); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
}

// TouchTokens notes when tokens were last used, by their id.
func (c *Catalog) TouchTokens(ctx context.Context, used map[int64]time.Time) error {
	return c.write(ctx, func(tx *tx) ([]change, error) {
		if err := tx.lock(ctx, lockCounts, 0); err != nil {
			return nil, err
		}
		rows := make([][2]int64, 0, len(used))
		for id, at := range used {
			rows = append(rows, [2]int64{id, at.Unix()})
		}
		// Another server may know of a later use.
		_, err := tx.ExecContext(ctx, `UPDATE tokens SET last_used_at = u.at
			FROM (SELECT CAST(value ->> 0 AS BIGINT) AS id, CAST(value ->> 1 AS BIGINT) AS at FROM json_each(?)) u
			WHERE tokens.id = u.id AND coalesce(tokens.last_used_at, 0) < u.at`, toJSON(rows))
		return nil, err
	})
}
