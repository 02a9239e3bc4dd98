package catalog

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/index"
)

// Mirror is an upstream registry that is cached here, as the catalog keeps it. What its texts mean is registry/mirror's to know.
type Mirror struct {
	ID          int64
	Name        string
	Spec        string // JSON
	Generation  int64  // grows with each change of spec, token and lockfiles
	Token       string // for upstream; a secret
	Status      string // JSON; empty: nothing yet
	RequestedAt time.Time
	CreatedAt   time.Time
	// UpstreamSince is the generation with which the upstream became what it is; 0: it never was another one. Archives of an older generation are of
	// another upstream, unless this one's index has them, too; index files of one are not kept.
	UpstreamSince int64
}

const mirrorColumns = "m.id, m.name, m.spec, m.generation, m.token, m.status, m.requested_at, m.created_at, m.upstream_since"

func scanMirror(row interface{ Scan(...any) error }) (Mirror, error) {
	var m Mirror
	var requested, created int64
	err := row.Scan(&m.ID, &m.Name, &m.Spec, &m.Generation, &m.Token, &m.Status, &requested, &created, &m.UpstreamSince)
	if requested != 0 {
		m.RequestedAt = time.UnixMilli(requested).UTC()
	}
	m.CreatedAt = time.Unix(created, 0).UTC()
	return m, err
}

// Mirrors lists all mirrors by name.
func (c *Catalog) Mirrors(ctx context.Context) ([]Mirror, error) {
	return collect(ctx, c.ro, func(r *sql.Rows) (Mirror, error) { return scanMirror(r) }, "SELECT "+mirrorColumns+" FROM mirrors m ORDER BY m.name")
}

// Mirror finds a mirror by name.
func (c *Catalog) Mirror(ctx context.Context, name string) (Mirror, error) {
	return mirrorByName(ctx, c.ro, name)
}

func mirrorByName(ctx context.Context, q querier, name string) (Mirror, error) {
	m, err := scanMirror(q.QueryRowContext(ctx, "SELECT "+mirrorColumns+" FROM mirrors m WHERE m.name = ?", name))
	if errors.Is(err, sql.ErrNoRows) {
		return Mirror{}, fault.New(fault.NotFound, "mirror `%s` does not exist", name)
	}
	return m, err
}

// changeMirror runs f on a mirror that stays as it is until the end, and tells all servers when f says that it changed something.
func (c *Catalog) changeMirror(ctx context.Context, by Actor, name string, f func(tx *tx, m Mirror) (changed bool, err error)) error {
	return c.writeAs(ctx, by, func(tx *tx) ([]change, error) {
		if err := tx.lock(ctx, lockMirrors, 0); err != nil {
			return nil, err
		}
		m, err := mirrorByName(ctx, tx, name)
		if err != nil {
			return nil, err
		}
		if changed, err := f(tx, m); err != nil || !changed {
			return nil, err
		}
		return []change{{crate: name, kind: index.KindMirror, hidden: true}}, nil
	})
}

// PutMirror makes a mirror, or gives it another spec. becomes says, of the mirror as it was, whose zero value stands for none, what its token is to be, and
// whether the spec names another upstream; nil leaves both as they are. With another upstream the index files of the one before are dropped. To put what is
// there changes nothing.
func (c *Catalog) PutMirror(ctx context.Context, by Actor, name, spec string, becomes func(old Mirror) (token string, moves bool)) (m Mirror, err error) {
	err = c.writeAs(ctx, by, func(tx *tx) ([]change, error) {
		if err := tx.lock(ctx, lockMirrors, 0); err != nil {
			return nil, err
		}
		changes := []change{{crate: name, kind: index.KindMirror, hidden: true}}
		type state struct {
			Spec         string `json:"spec"`
			TokenChanged bool   `json:"token_changed,omitempty"`
		}
		old, err := mirrorByName(ctx, tx, name)
		if fault.KindOf(err) == fault.NotFound {
			secret := ""
			if becomes != nil {
				secret, _ = becomes(Mirror{})
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO mirrors (name, spec, token, created_at) VALUES (?, ?, ?, ?)", name, spec, secret, c.now().Unix()); err != nil {
				return nil, err
			}
			if m, err = mirrorByName(ctx, tx, name); err != nil {
				return nil, err
			}
			return changes, c.audit(ctx, tx, by, Record{Action: ActionCreateMirror, Subject: name}, nil, state{Spec: spec})
		}
		if err != nil {
			return nil, err
		}
		m = old
		m.Spec = spec
		moves := false
		if becomes != nil {
			m.Token, moves = becomes(old)
		}
		if m.Spec == old.Spec && m.Token == old.Token {
			return nil, nil
		}
		m.Generation++
		if moves {
			m.UpstreamSince = m.Generation
			if err := dropMirrorIndex(ctx, tx, m.ID); err != nil {
				return nil, err
			}
		}
		if _, err := tx.ExecContext(ctx, "UPDATE mirrors SET spec = ?, token = ?, generation = ?, upstream_since = ? WHERE id = ?",
			m.Spec, m.Token, m.Generation, m.UpstreamSince, m.ID); err != nil {
			return nil, err
		}
		return changes, c.audit(ctx, tx, by, Record{Action: ActionUpdateMirror, Subject: name}, state{Spec: old.Spec}, state{m.Spec, m.Token != old.Token})
	})
	return m, err
}

// dropMirrorIndex forgets all index files of a mirror.
func dropMirrorIndex(ctx context.Context, tx *tx, id int64) error {
	if err := tx.lock(ctx, lockMirrors, 1); err != nil { // no write of what was asked of the old upstream is under way
		return err
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM mirror_index WHERE mirror_id = ?", id)
	return err
}

// DeleteMirror removes a mirror and what the catalog knows of its cache; the bytes are the caller's to remove.
func (c *Catalog) DeleteMirror(ctx context.Context, by Actor, name string) error {
	return c.changeMirror(ctx, by, name, func(tx *tx, m Mirror) (bool, error) {
		if _, err := tx.ExecContext(ctx, "DELETE FROM mirrors WHERE id = ?", m.ID); err != nil {
			return false, err
		}
		return true, c.audit(ctx, tx, by, Record{Action: ActionDeleteMirror, Subject: name}, map[string]string{"spec": m.Spec}, nil)
	})
}

// RequestMirrorSync notes that a mirror is to be synced now.
func (c *Catalog) RequestMirrorSync(ctx context.Context, by Actor, name string) error {
	return c.changeMirror(ctx, by, name, func(tx *tx, m Mirror) (bool, error) {
		_, err := tx.ExecContext(ctx, "UPDATE mirrors SET requested_at = ? WHERE id = ?", c.now().UnixMilli(), m.ID)
		return true, err
	})
}

// SetMirrorStatus keeps what the servers tell each other of a mirror.
func (c *Catalog) SetMirrorStatus(ctx context.Context, id int64, status string) error {
	return c.write(ctx, func(tx *tx) ([]change, error) {
		_, err := tx.ExecContext(ctx, "UPDATE mirrors SET status = ? WHERE id = ?", status, id)
		return nil, err
	})
}

// EndMirrorSync keeps how a sync ended, and has all servers look at it.
func (c *Catalog) EndMirrorSync(ctx context.Context, name, status string) error {
	return c.changeMirror(ctx, Actor{}, name, func(tx *tx, m Mirror) (bool, error) {
		_, err := tx.ExecContext(ctx, "UPDATE mirrors SET status = ? WHERE id = ?", status, m.ID)
		return true, err
	})
}

// TouchMirror has all servers look anew at what a mirror has cached.
func (c *Catalog) TouchMirror(ctx context.Context, name string) error {
	return c.changeMirror(ctx, Actor{}, name, func(*tx, Mirror) (bool, error) { return true, nil })
}

// NoteMirrorCrate puts into the audit that somebody had a version come into a mirror, by ActionMirrorCache or ActionMirrorAdd.
func (c *Catalog) NoteMirrorCrate(ctx context.Context, by Actor, action, mirror, name, num string) error {
	return c.write(ctx, func(tx *tx) ([]change, error) {
		return nil, c.audit(ctx, tx, by, Record{Action: action, Subject: mirror, Crate: name, Version: num}, nil, nil)
	})
}

// NoteMirrorImport has all servers look anew at what a mirror has cached, and puts into the audit what a bundle brought; nil: nothing.
func (c *Catalog) NoteMirrorImport(ctx context.Context, by Actor, mirror string, brought any) error {
	return c.changeMirror(ctx, Actor{}, mirror, func(tx *tx, _ Mirror) (bool, error) { // it has come, whatever became of who brought it
		if brought == nil {
			return true, nil
		}
		return true, c.audit(ctx, tx, by, Record{Action: ActionMirrorImport, Subject: mirror}, nil, brought)
	})
}

// MirrorLockfile is a Cargo.lock whose versions a mirror keeps.
type MirrorLockfile struct {
	Name, SHA256  string
	Pins, Skipped string // JSON
}

// MirrorLockfiles lists the lockfiles of a mirror by name.
func (c *Catalog) MirrorLockfiles(ctx context.Context, mirrorID int64) ([]MirrorLockfile, error) {
	return mirrorLockfiles(ctx, c.ro, mirrorID)
}

func mirrorLockfiles(ctx context.Context, q querier, mirrorID int64) ([]MirrorLockfile, error) {
	return collect(ctx, q, func(r *sql.Rows) (l MirrorLockfile, err error) {
		err = r.Scan(&l.Name, &l.SHA256, &l.Pins, &l.Skipped)
		return l, err
	}, "SELECT name, sha256, pins, skipped FROM mirror_lockfiles WHERE mirror_id = ? ORDER BY name", mirrorID)
}

// MaxMirrorLockfiles bounds the lockfiles of a mirror.
const MaxMirrorLockfiles = 1000

// PutMirrorLockfile gives a mirror a lockfile, or another text under the same name. The same file again changes nothing.
func (c *Catalog) PutMirrorLockfile(ctx context.Context, by Actor, mirror string, l MirrorLockfile) error {
	return c.changeMirror(ctx, by, mirror, func(tx *tx, m Mirror) (bool, error) {
		all, err := mirrorLockfiles(ctx, tx, m.ID)
		if err != nil {
			return false, err
		}
		before := ""
		for _, old := range all {
			if old == l { // the pins, too: another upstream may pin others
				return false, nil
			}
			if old.Name == l.Name {
				before = old.SHA256
			}
		}
		if before == "" && len(all) >= MaxMirrorLockfiles {
			return false, fault.New(fault.Invalid, "a mirror has at most %d lockfiles; delete some", MaxMirrorLockfiles)
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO mirror_lockfiles (mirror_id, name, sha256, pins, skipped) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (mirror_id, name) DO UPDATE SET sha256 = excluded.sha256, pins = excluded.pins, skipped = excluded.skipped`,
			m.ID, l.Name, l.SHA256, l.Pins, l.Skipped); err != nil {
			return false, err
		}
		return true, c.mirrorGrew(ctx, tx, by, m, "lockfile "+l.Name, before, l.SHA256)
	})
}

// DeleteMirrorLockfile takes a lockfile from a mirror.
func (c *Catalog) DeleteMirrorLockfile(ctx context.Context, by Actor, mirror, name string) error {
	return c.changeMirror(ctx, by, mirror, func(tx *tx, m Mirror) (bool, error) {
		res, err := tx.ExecContext(ctx, "DELETE FROM mirror_lockfiles WHERE mirror_id = ? AND name = ?", m.ID, name)
		if err != nil {
			return false, err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return false, errors.Join(err, fault.New(fault.NotFound, "mirror `%s` has no lockfile `%s`", mirror, name))
		}
		return true, c.mirrorGrew(ctx, tx, by, m, "lockfile "+name, "there", "")
	})
}

// mirrorGrew raises the generation of a mirror one of whose parts changed, and writes it into the audit.
func (c *Catalog) mirrorGrew(ctx context.Context, tx *tx, by Actor, m Mirror, part, before, after string) error {
	if _, err := tx.ExecContext(ctx, "UPDATE mirrors SET generation = generation + 1 WHERE id = ?", m.ID); err != nil {
		return err
	}
	return c.audit(ctx, tx, by, Record{Action: ActionUpdateMirror, Subject: m.Name}, map[string]string{part: before}, map[string]string{part: after})
}
