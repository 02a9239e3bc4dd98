package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/fault"
)

// Query is a search.
type Query struct {
	Text     string   // words, each the beginning of one in a crate's name, keywords or description; empty: all crates
	Keyword  string   // exact; empty: any
	Keywords []string // exact, all of them; empty: any
	Category string   // slug; those below it count, too; empty: any
	Letter   string   // the name begins with it; empty: any
	Names    []string // in any spelling, one of them; empty: any
	Owner    int64    // id of a user who owns it, in person or through a group; 0: any
	Group    int64    // id of a group that owns it; 0: any
	Unyanked bool     // has a version that is not yanked
	Sort     string   // one of Sorts; empty: relevance
	Limit    int
	Offset   int
	UserID   int64  // who asks: restricted crates are found by who may see them
	Role     string // of who asks
}

// Sorts are the orders of a search, under the names that crates.io has for them.
var Sorts = map[string]string{
	"relevance":        "c.downloads DESC, c.canonical",
	"downloads":        "c.downloads DESC, c.canonical",
	"recent-downloads": recentDownloads + " DESC, c.canonical",
	"recent-updates":   "c.updated_at DESC, c.id DESC",
	"new":              "c.created_at DESC, c.id DESC",
	"alpha":            "c.canonical",
	"alphabetical":     "c.canonical",
}

// recentDays is what "recent" means for downloads, as on crates.io.
const recentDays = 90

const recentDownloads = `(SELECT CAST(coalesce(sum(d.downloads), 0) AS BIGINT) FROM versions rv JOIN version_downloads d ON d.version_id = rv.id
	WHERE rv.crate_id = c.id AND d.day > ?)`

// visible is the condition under which a crate c may be known to a user; it takes the user's id and role.
const visible = `(NOT c.restricted OR EXISTS (SELECT 1 FROM crate_users vu WHERE vu.crate_id = c.id AND vu.user_id = ?) OR ? = 'admin')`

// listed is the condition under which a crate c stands in lists: it has a version left. Where one is not yanked, max_version tells.
const listed = "(c.max_version <> '" + noVersion + "' OR EXISTS (SELECT 1 FROM versions lv WHERE lv.crate_id = c.id AND lv.deleted_at IS NULL))"

// maxWords bounds the different words of a search, see longest: each is one more table for the database to put in order, and PostgreSQL takes
// longer over that than over the search.
const maxWords = 16

// Search finds crates: one whose name is the text comes first, whatever the order. It gives one page and the total. More words than a
// search takes are fault.Invalid.
func (c *Catalog) Search(ctx context.Context, s Query) (page []Crate, total int, err error) {
	s.Text, s.Keyword, s.Category, s.Letter = searchable(s.Text), searchable(s.Keyword), searchable(s.Category), searchable(s.Letter)
	s.Keywords, s.Names = allSearchable(s.Keywords), allSearchable(s.Names)
	where, args := []string{"c.deleted_at IS NULL", listed, visible}, []any{s.UserID, s.Role}
	add := func(cond string, values ...any) { where, args = append(where, cond), append(args, values...) }
	words := splitWords(s.Text)
	if strings.TrimSpace(s.Text) != "" && len(words) == 0 {
		return nil, 0, nil // nothing in it that a crate could have
	}
	asked := longest(words)
	if len(asked) > maxWords {
		return nil, 0, fault.New(fault.Invalid, "the search has %d different words, the limit is %d", len(asked), maxWords)
	}
	for _, w := range asked {
		add("c.id IN (SELECT w.crate_id FROM crate_words w WHERE w.word >= ? AND w.word < ?)", w, w+behindAll)
	}
	if s.Keyword != "" {
		s.Keywords = append([]string{s.Keyword}, s.Keywords...)
	}
	for _, k := range s.Keywords {
		add("c.id IN (SELECT k.crate_id FROM crate_keywords k WHERE k.keyword = ?)", strings.ToLower(k))
	}
	if len(s.Names) > 0 {
		add("c.canonical IN (SELECT value ->> 0 FROM json_each(?))", jsonRows(canonicals(s.Names)))
	}
	if s.Category != "" {
		slug := strings.ToLower(s.Category)
		from, to := below(slug)
		add("c.id IN (SELECT k.crate_id FROM crate_categories k WHERE k.category = ? OR (k.category >= ? AND k.category < ?))", slug, from, to)
	}
	if s.Letter != "" {
		letter := crate.Canonical(s.Letter)
		add("c.canonical >= ? AND c.canonical < ?", letter, letter+behindAll)
	}
	if s.Unyanked {
		add("EXISTS (SELECT 1 FROM versions uv WHERE uv.crate_id = c.id AND uv.deleted_at IS NULL AND uv.yanked = ?)", false)
	}
	if s.Owner != 0 {
		add("c.id IN (SELECT o.crate_id FROM crate_users o WHERE o.user_id = ? AND o.owner = 1)", s.Owner)
	}
	if s.Group != 0 {
		add("c.id IN (SELECT o.crate_id FROM group_owners o WHERE o.group_id = ?)", s.Group)
	}
	from := " FROM crates c WHERE " + strings.Join(where, " AND ")
	if err := queryTotal(ctx, c.ro, from, args, &total); err != nil {
		return nil, 0, err
	}
	order, ok := Sorts[s.Sort]
	if !ok {
		order = Sorts["relevance"]
	}
	if len(words) > 0 {
		order = "CASE WHEN c.canonical IN (?, ?) THEN 0 ELSE 1 END, " + order
		args = append(args, crate.Canonical(strings.TrimSpace(s.Text)), strings.Join(words, "_"))
	}
	if s.Sort == "recent-downloads" {
		args = append(args, c.today()-recentDays)
	}
	// Not prepared for ever: what is asked for takes too many forms.
	rows, err := c.ro.QueryOnce(ctx, "SELECT "+crateColumns+from+" ORDER BY "+order+" LIMIT ? OFFSET ?",
		append(args, s.Limit, s.Offset)...)
	if err != nil {
		return nil, 0, err
	}
	page, err = scanAll(rows, func(r *sql.Rows) (Crate, error) { return scanCrate(r) })
	return page, total, err
}

// searchable puts a space for what no text of the catalog holds, and PostgreSQL takes in none: a NUL character, and what is no UTF-8.
func searchable(text string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", " "), " ")
}

func allSearchable(texts []string) []string {
	out := make([]string, 0, len(texts))
	for _, t := range texts {
		out = append(out, searchable(t))
	}
	return out
}

func queryTotal(ctx context.Context, s *statements, from string, args []any, total *int) error {
	rows, err := s.QueryOnce(ctx, "SELECT count(*)"+from, args...)
	return row{rows, err}.Scan(total)
}

// saveSearchTerms replaces what a crate is found by; a new one is found by nothing yet.
func saveSearchTerms(ctx context.Context, tx *tx, id int64, isNew bool, name, description, keywords, categories string) error {
	for table, words := range map[string][]string{
		"crate_words (word":          crateWords(name, description, keywords),
		"crate_keywords (keyword":    strings.Fields(keywords),
		"crate_categories (category": strings.Fields(categories),
	} {
		bare, _, _ := strings.Cut(table, " ")
		if !isNew {
			if _, err := tx.ExecContext(ctx, "DELETE FROM "+bare+" WHERE crate_id = ?", id); err != nil {
				return err
			}
		}
		if len(words) == 0 {
			continue
		}
		if _, err := tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s, crate_id) SELECT value ->> 0, ? FROM json_each(?)", table), id, jsonRows(words)); err != nil {
			return err
		}
	}
	return nil
}

// maxCrateWords bounds the words that one crate is found by. What a publish may say has fewer: a description has a thousand characters at
// most, which is 500 words. An import is not held to that.
const maxCrateWords = 1000

// crateWords are the words that a crate is found by: those of name, keywords and description, and the name and keywords as
// they stand.
func crateWords(name, description, keywords string) []string {
	words := append([]string{crate.Canonical(name)}, splitWords(name)...)
	words = append(append(words, strings.Fields(keywords)...), splitWords(keywords)...)
	words = append(words, splitWords(description)...)
	words = words[:min(len(words), maxCrateWords)]
	slices.Sort(words)
	return slices.Compact(words)
}

// maxWordLen bounds one word, in bytes; longer ones are cut, here and in a search alike.
const maxWordLen = 64

// behindAll makes of a text one that stands behind all that begin with it.
const behindAll = "\U0010FFFF"

// longest gives the words of a search that say something: each once, none that another one begins with, the longest first, which are
// those that the fewest crates have.
func longest(words []string) []string {
	words = slices.Sorted(slices.Values(words))
	var out []string
	for i, w := range words {
		if i+1 == len(words) || !strings.HasPrefix(words[i+1], w) { // what begins with it comes right behind it
			out = append(out, w)
		}
	}
	slices.SortStableFunc(out, func(x, y string) int { return cmp.Compare(len(y), len(x)) })
	return out
}

// splitWords gives the words of a text in lower case and composed (NFC): letters and digits of any script, with their marks.
func splitWords(text string) []string {
	words := strings.FieldsFunc(norm.NFC.String(strings.ToLower(text)), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
	})
	for i, w := range words {
		if len(w) > maxWordLen {
			words[i] = strings.ToValidUTF8(w[:maxWordLen], "")
		}
	}
	return words
}
