package catalog

import (
	"database/sql"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/crateyard/crateyard/registry/fault"
)

// dialect is what SQLite and PostgreSQL do not share. Queries are written with '?' for arguments, and with these words, which each
// dialect reads in its own way:
//
//	json_each(?)   the elements of a JSON array as rows of one column, value; "value ->> 0" is the first of an element that is an array
//	now_ms()       the database's clock, in milliseconds since 1970
//	FOR … OF …     row locks at the end of a query, which SQLite with its one writer does not need
type dialect struct {
	name     string
	rewrite  func(query string) string
	fault    func(error) error // what the client can be told of an error
	refuses  func(error) bool  // no change can be made: no space, read-only, or the disk fails
	retry    func(error) bool  // the transaction failed because of another one, and can be tried again
	prepares bool              // statements are prepared here; pgx does so by itself
	shared   bool              // others write the same database: row locks, limits on time, numbers given after the commit
	unhex    string            // makes bytes of a text expression
}

// What clients are told when it is the database's fault.
const (
	away     = "the registry's catalog cannot be reached at the moment; try again"
	refused  = "the registry's database refuses the server, by its user, password or name; the registry's administrator has to mend catalog.postgres"
	noWrites = "the registry's catalog takes no writes at the moment; try again later, and tell its administrator"
	unread   = "the registry's catalog cannot be read: its disk fails, or its file is damaged; tell the registry's administrator"
	pooled   = "the registry's database is behind a pooler that shares connections by transaction; the registry's administrator has to say default_query_exec_mode=exec in the URI of catalog.postgres, or lead it to PostgreSQL itself"
	busy     = "the registry's catalog is busy with other changes; try again"
	unknown  = "the connection to the registry's catalog was lost at the last moment, and nobody knows yet whether the change was made; it is safe to try again"
)

// forShare has a token and its user stay as they are until the transaction ends.
const forShare = " FOR SHARE OF u FOR KEY SHARE OF t"

var sqliteDialect = dialect{
	name:     "sqlite",
	rewrite:  strings.NewReplacer(forShare, "", "now_ms()", "CAST(unixepoch('subsec') * 1000 AS INTEGER)").Replace,
	fault:    sqliteFault,
	refuses:  sqliteRefuses,
	retry:    func(error) bool { return false },
	prepares: true,
	unhex:    "unhex(%s)",
}

var postgresDialect = dialect{
	name:    "postgres",
	rewrite: func(query string) string { return numbered(postgresWords.Replace(query)) },
	fault:   postgresFault,
	refuses: postgresRefuses,
	retry:   postgresRetry,
	shared:  true,
	unhex:   "decode(%s, 'hex')",
}

var postgresWords = strings.NewReplacer("json_each(?)", "json_array_elements(CAST(CAST(? AS TEXT) AS JSON))",
	"now_ms()", "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)")

// numbered writes $1, $2 … for '?'. No text in our queries holds one.
func numbered(query string) string {
	var b strings.Builder
	for n := 1; ; n++ {
		before, after, found := strings.Cut(query, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
		query = after
	}
}

// checkTexts refuses what PostgreSQL cannot hold and SQLite would cut off in places.
func checkTexts(args []any) error {
	for _, a := range args {
		s, ok := a.(string)
		if n, isNull := a.(sql.NullString); isNull {
			s, ok = n.String, true
		}
		if ok && (strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s)) {
			return fault.New(fault.Invalid, "a text holds a NUL character, or is not UTF-8; take that out")
		}
	}
	return nil
}
