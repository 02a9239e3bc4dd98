package wire

import "time"

// Crate is what Crateyard's own commands read of a crate. The API says more, in the shape of crates.io.
type Crate struct {
	Name          string    `json:"name"`
	Description   *string   `json:"description"`
	MaxVersion    string    `json:"max_version"`    // highest that is not yanked; 0.0.0 when all are
	NewestVersion string    `json:"newest_version"` // last that was published; in lists, the same as MaxVersion
	Downloads     int64     `json:"downloads"`
	Keywords      []string  `json:"keywords"`
	Categories    []string  `json:"categories"`
	Homepage      *string   `json:"homepage"` // null in lists, like the next two
	Documentation *string   `json:"documentation"`
	Repository    *string   `json:"repository"`
	CreatedAt     time.Time `json:"created_at"`
	UpdatedAt     time.Time `json:"updated_at"`
	Restricted    bool      `json:"restricted,omitempty"` // only owners, readers and admins see the crate
}

// Crates answers GET /api/v1/crates.
type Crates struct {
	Crates []Crate `json:"crates"`
	Meta   Total   `json:"meta"`
}

// Total counts a list whose pages are read one by one.
type Total struct {
	Total int `json:"total"`
}

// Version is what Crateyard's own commands read of a version.
type Version struct {
	Num         string    `json:"num"`
	Yanked      bool      `json:"yanked"`
	YankMessage *string   `json:"yank_message"`
	Downloads   int64     `json:"downloads"`
	CrateSize   int64     `json:"crate_size"` // bytes
	Checksum    string    `json:"checksum"`   // SHA-256, lower-case hex
	License     *string   `json:"license"`
	RustVersion *string   `json:"rust_version"`
	PublishedBy *Owner    `json:"published_by"` // null: the user is no longer there
	CreatedAt   time.Time `json:"created_at"`
}

// CrateWithVersions answers GET /api/v1/crates/{crate}, the highest version first.
type CrateWithVersions struct {
	Crate    Crate     `json:"crate"`
	Versions []Version `json:"versions"`
}

// OneVersion answers GET and PATCH /api/v1/crates/{crate}/{version}.
type OneVersion struct {
	Version Version `json:"version"`
}

// UpdateVersion is the body of PATCH /api/v1/crates/{crate}/{version}; what is nil stays as it is.
type UpdateVersion struct {
	Version VersionChange `json:"version"`
}

// VersionChange yanks or unyanks a version, with a message for people.
type VersionChange struct {
	Yanked      *bool   `json:"yanked,omitempty"`
	YankMessage *string `json:"yank_message,omitempty"`
}

// Owner is a user or a group, whose login is group:NAME.
type Owner struct {
	ID    int64  `json:"id"`
	Login string `json:"login"`
	Kind  string `json:"kind"` // user or team
}

// Owners answers GET /api/v1/crates/{crate}/owners.
type Owners struct {
	Users []Owner `json:"users"`
}
