package catalog

import "fmt"

// dumpFormat is the version of the form of a dump; what the columns mean is told by the version of the schema.
const dumpFormat = 1

// dumped is a table of a dump. Tables stand in an order in which each refers only to those before it.
type dumped struct {
	name    string
	order   string // of the rows, so that two dumps of one state are equal
	columns []column
	counter bool // its ids are never used twice
}

type column struct {
	name string
	kind kind
}

type kind int

const (
	number kind = iota
	text
	truth
	octets // hex in the dump
)

func columns(k kind, names ...string) (list []column) {
	for _, n := range names {
		list = append(list, column{n, k})
	}
	return list
}

func join(lists ...[]column) (all []column) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// dumpTables are all tables but meta, of which the header tells, leases and sweeping, which are of the moment, and what mirrors have cached,
// which is upstream's. The token of a mirror is not in a dump: it is another registry's secret; nor is since
// when it has its upstream, which tells of what is cached.
var dumpTables = []dumped{
	{"users", "id", join(columns(number, "id", "created_at"), columns(text, "name", "role", "claims"), columns(truth, "suspended")), true},
	{"groups", "id", join(columns(number, "id", "created_at"), columns(text, "name")), true},
	{"group_members", "group_id, user_id", columns(number, "group_id", "user_id"), false},
	{"tokens", "id", join(columns(number, "id", "user_id", "created_at", "expires_at", "last_used_at", "parent_id"),
		columns(text, "name", "scopes", "crates"), columns(octets, "hash")), true},
	{"crates", "id", join(columns(number, "id", "downloads", "created_at", "updated_at", "deleted_at"),
		columns(text, "name", "canonical", "description", "max_version", "keywords", "categories"), columns(truth, "restricted")), true},
	{"versions", "id", join(columns(number, "id", "crate_id", "size", "downloads", "created_at", "publisher_id", "deleted_at"),
		columns(text, "num", "release", "sha256", "line", "published_by", "yank_message", "details", "metadata"), columns(truth, "yanked")), true},
	{"owners", "crate_id, user_id", columns(number, "crate_id", "user_id"), false},
	{"group_owners", "crate_id, group_id", columns(number, "crate_id", "group_id"), false},
	{"readers", "crate_id, user_id", columns(number, "crate_id", "user_id"), false},
	{"group_readers", "crate_id, group_id", columns(number, "crate_id", "group_id"), false},
	{"blocked_names", "canonical", join(columns(text, "canonical"), columns(number, "until")), false},
	{"dependencies", "crate, version_id", join(columns(text, "crate"), columns(number, "version_id")), false},
	{"crate_keywords", "keyword, crate_id", join(columns(text, "keyword"), columns(number, "crate_id")), false},
	{"crate_categories", "category, crate_id", join(columns(text, "category"), columns(number, "crate_id")), false},
	{"crate_words", "word, crate_id", join(columns(text, "word"), columns(number, "crate_id")), false},
	{"version_downloads", "version_id, day", columns(number, "version_id", "day", "downloads"), false},
	{"changes", "seq", join(columns(number, "seq", "version_id", "at"), columns(text, "crate", "kind", "lines"), columns(truth, "hidden")), false},
	{"mirrors", "id", join(columns(number, "id", "generation", "created_at"), columns(text, "name", "spec")), true},
	{"mirror_lockfiles", "mirror_id, name", join(columns(number, "mirror_id"), columns(text, "name", "sha256", "pins", "skipped")), false},
	{"audit", "id", join(columns(number, "id", "at", "token_id"),
		columns(text, "actor", "token", "address", "action", "crate", "version", "subject", "before", "after")), true},
}

// load is the expression that makes a column's value from the element of a row.
func (c column) load(d *dialect, i int) string {
	value := fmt.Sprintf("value ->> %d", i)
	switch c.kind {
	case number:
		return "CAST(" + value + " AS BIGINT)"
	case truth:
		return "CAST(" + value + " AS BOOLEAN)"
	case octets:
		return fmt.Sprintf(d.unhex, value)
	}
	return value
}

// dumpHeader is the first line of a dump.
type dumpHeader struct {
	Crateyard  string `json:"crateyard"` // "catalog"
	Format     int    `json:"format"`
	Schema     int64  `json:"schema"` // of the migrations
	RegistryID string `json:"registry_id"`
}

// dumpTable is the line before a table's rows, each of which is an array on a line of its own.
type dumpTable struct {
	Table   string   `json:"table"`
	Columns []string `json:"columns"`
}

// dumpEnd is the last line.
type dumpEnd struct {
	End      bool             `json:"end"`
	Rows     map[string]int64 `json:"rows"`     // by table
	Counters map[string]int64 `json:"counters"` // by table: the highest id that was ever given
}
