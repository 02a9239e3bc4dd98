// Package wire is what the management API says over HTTP: the JSON of users, tokens and status, shared by the server and by
// its Go client, and the cargo configuration that both hand to people. It imports nothing of the server.
package wire

import (
	"encoding/json"
	"time"
)

// User is a user as the management API shows it.
type User struct {
	ID        int64     `json:"id"`
	Name      string    `json:"name"`
	Role      string    `json:"role"` // reader, publisher or admin
	Suspended bool      `json:"suspended"`
	Groups    []string  `json:"groups"` // those that the user is a member of, by name
	Claims    []string  `json:"claims"` // patterns of the names that it may give to new crates; empty: any name
	CreatedAt time.Time `json:"created_at"`
}

// CreateUser is the body of POST /api/v1/users.
type CreateUser struct {
	Name      string   `json:"name"`
	Role      string   `json:"role"`
	Suspended bool     `json:"suspended,omitempty"`
	Groups    []string `json:"groups,omitempty"` // groups that do not exist are made
	Claims    []string `json:"claims,omitempty"` // patterns such as acme-*; empty: any name
}

// UpdateUser is the body of PATCH /api/v1/users/{name}; what is nil stays as it is.
type UpdateUser struct {
	Role      *string   `json:"role,omitempty"`
	Suspended *bool     `json:"suspended,omitempty"`
	Groups    *[]string `json:"groups,omitempty"` // exactly these from now on; groups that do not exist are made
	Claims    *[]string `json:"claims,omitempty"` // exactly these from now on; empty: any name
}

// DeletedUser answers DELETE /api/v1/users/{name}.
type DeletedUser struct {
	// Ownerless names the crates that nobody owns in person now; an admin can give them an owner.
	Ownerless []string `json:"ownerless_crates"`
}

// Token is a token as the management API shows it. Secret is there once: in the answer to its creation.
type Token struct {
	ID         int64      `json:"id"`
	User       string     `json:"user"`
	Name       string     `json:"name"`
	Scopes     []string   `json:"scopes"` // empty: all that the user's role allows
	Crates     []string   `json:"crates"` // patterns; empty: every crate
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`   // null: never
	LastUsedAt *time.Time `json:"last_used_at"` // null: never
	Secret     string     `json:"token,omitempty"`
}

// CreateToken is the body of POST /api/v1/tokens.
type CreateToken struct {
	User      string     `json:"user"`
	Name      string     `json:"name"`
	Scopes    []string   `json:"scopes,omitempty"`
	Crates    []string   `json:"crates,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// Group is a number of users that own crates, and read restricted ones, together. cargo names it group:NAME.
type Group struct {
	ID        int64     `json:"id"`
	Name      string    `json:"name"`
	Members   []string  `json:"members"` // names of users
	CreatedAt time.Time `json:"created_at"`
}

// CreateGroup is the body of POST /api/v1/groups.
type CreateGroup struct {
	Name    string   `json:"name"`
	Members []string `json:"members,omitempty"`
}

// UpdateGroup is the body of PATCH /api/v1/groups/{name}: the members from now on, all of them.
type UpdateGroup struct {
	Members []string `json:"members"`
}

// Access answers GET and PUT /api/v1/crates/{crate}/access.
type Access struct {
	Restricted bool     `json:"restricted"` // only owners, readers and admins see the crate
	Readers    []string `json:"readers"`    // users and group:NAME
	Warnings   []string `json:"warnings,omitempty"`
}

// SetAccess is the body of PUT /api/v1/crates/{crate}/access; what is nil stays as it is.
type SetAccess struct {
	Restricted *bool     `json:"restricted,omitempty"`
	Readers    *[]string `json:"readers,omitempty"`
}

// AuditRecord is one change: by whom, from where, and what it was before and after.
type AuditRecord struct {
	ID      int64           `json:"id"`
	At      time.Time       `json:"at"`
	Actor   string          `json:"actor"`           // user; crateyard for what the server does by itself
	TokenID int64           `json:"token_id"`        // 0: no token
	Token   string          `json:"token,omitempty"` // its name
	Address string          `json:"address,omitempty"`
	Action  string          `json:"action"` // such as crate.publish
	Crate   string          `json:"crate,omitempty"`
	Version string          `json:"version,omitempty"`
	Subject string          `json:"subject,omitempty"` // user, group or token (user/name) that was changed
	Before  json.RawMessage `json:"before,omitempty"`
	After   json.RawMessage `json:"after,omitempty"`
}

// Audit answers GET /api/v1/audit, the newest record first.
type Audit struct {
	Records []AuditRecord `json:"records"`
	// Next is the before_id of the next page; 0: this is the last.
	Next int64 `json:"next,omitempty"`
}

// Users and Tokens wrap lists, so that a later field fits beside them.
type (
	// Groups answers GET /api/v1/groups.
	Groups struct {
		Groups []Group `json:"groups"`
	}

	// Users answers GET /api/v1/users.
	Users struct {
		Users []User `json:"users"`
	}
	// Tokens answers GET /api/v1/tokens.
	Tokens struct {
		Tokens []Token `json:"tokens"`
	}
)

// Status answers GET /api/v1/status.
type Status struct {
	Version  string `json:"version"` // of the server's program
	Name     string `json:"name"`
	URL      string `json:"url"`
	IndexURL string `json:"index_url"`
	Crates   int64  `json:"crates"`
	Versions int64  `json:"versions"`
	Users    int64  `json:"users"`

	// What follows is nil where the server has nothing to say of it: it is of an older version, or the work is not set up.
	Catalog *Backend      `json:"catalog,omitempty"`
	Storage *Backend      `json:"storage,omitempty"`
	Backup  *BackupStatus `json:"backup,omitempty"`
	Sweep   *SweepStatus  `json:"sweep,omitempty"`
	Scrub   *ScrubStatus  `json:"scrub,omitempty"`
}

// Errors is the shape of every failure under /api: cargo's.
type Errors struct {
	Errors []Detail `json:"errors"`
}

// Detail is one failure.
type Detail struct {
	Detail string `json:"detail"`
}
