package lockfile

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/crateyard/crateyard/registry/fault"
)

// file is a Cargo.lock as it stands there.
type file struct {
	version  int
	entries  []entry
	metadata map[string]string
}

// entry is a [[package]], or the [root] of the oldest files.
type entry struct {
	line                            int // where it begins
	name, version, source, checksum string
}

// reader goes through the expressions of the TOML text one by one. The library's decoder takes time in the square of the keys of a
// table, and says nothing of lines.
type reader struct {
	data    []byte
	parser  unstable.Parser
	at      int // an offset,
	line    int // and the line that it is in
	file    file
	section string // "package", "metadata", or another, which is passed over; empty before the first
	sums    bool   // a package has its checksum with it: formats 1 and 2 give no version, and differ in that
}

func read(data []byte) (*file, error) {
	if n := countValues(data); n > maxValues {
		return nil, broken(0, "it has more than %d values", maxValues)
	}
	r := reader{data: data, line: 1, file: file{metadata: map[string]string{}}}
	r.parser.Reset(data)
	for r.parser.NextExpression() {
		if err := r.expression(r.parser.Expression()); err != nil {
			return nil, err
		}
	}
	if err := r.parser.Error(); err != nil {
		return nil, r.syntax(err)
	}
	return r.end()
}

// countValues counts the signs of which one stands beside each value.
func countValues(data []byte) (n int) {
	for _, c := range data {
		if c == ',' || c == '[' || c == '{' || c == '=' {
			n++
		}
	}
	return n
}

func (r *reader) expression(e *unstable.Node) error {
	keys := r.keys(e)
	switch e.Kind {
	case unstable.ArrayTable, unstable.Table:
		return r.table(e.Kind == unstable.ArrayTable, keys)
	case unstable.KeyValue:
		if len(keys) == 1 {
			return r.value(keys[0], e.Value())
		}
		if r.section == "" {
			return broken(r.line, "%q is not as cargo writes it", clip(keys[0]))
		}
	}
	return nil
}

// keys reads the parts of an expression's name and moves on to its line.
func (r *reader) keys(e *unstable.Node) (keys []string) {
	for it := e.Key(); it.Next(); {
		data := it.Node().Data
		if len(keys) == 0 {
			r.moveTo(data)
		}
		if keys = append(keys, string(data)); len(keys) > 4 {
			break // nothing of cargo's is so deep
		}
	}
	return keys
}

// moveTo counts lines up to part, which is one of the file, unless the library had to copy it.
func (r *reader) moveTo(part []byte) {
	if to := r.offset(part); to >= r.at {
		r.line += bytes.Count(r.data[r.at:to], []byte("\n"))
		r.at = to
	}
}

// offset finds where in the file a part of it begins: both share their end. It is -1 for what is none.
func (r *reader) offset(part []byte) int {
	to := cap(r.data) - cap(part)
	if len(part) == 0 || to < 0 || to+len(part) > len(r.data) || &r.data[to] != &part[0] {
		return -1
	}
	return to
}

func (r *reader) table(array bool, keys []string) error {
	r.section = "other"
	if len(keys) != 1 {
		return nil // [[patch.unused]], and what others add
	}
	switch keys[0] {
	case "package", "root":
		if array != (keys[0] == "package") {
			if keys[0] == "package" {
				return broken(r.line, "[package] stands in a Cargo.toml; the lockfile is the Cargo.lock beside it")
			}
			return broken(r.line, "[[root]] is not as cargo writes it")
		}
		if len(r.file.entries) == MaxPackages {
			return fault.New(fault.TooLarge, "the lockfile has more than %d packages, the limit; split the workspace, or pin its crates with requirements", MaxPackages)
		}
		r.section = "package"
		r.file.entries = append(r.file.entries, entry{line: r.line})
	case "metadata":
		r.section = "metadata"
	}
	return nil
}

func (r *reader) value(key string, v *unstable.Node) error {
	switch r.section {
	case "":
		return r.top(key, v)
	case "metadata":
		if v.Kind == unstable.String && len(r.file.metadata) < MaxPackages {
			r.file.metadata[key] = string(v.Data)
		}
	case "package":
		e := &r.file.entries[len(r.file.entries)-1]
		field := map[string]*string{"name": &e.name, "version": &e.version, "source": &e.source, "checksum": &e.checksum}[key]
		if field == nil {
			return nil // dependencies: the packages are all listed themselves
		}
		if v.Kind != unstable.String || len(v.Data) == 0 {
			return broken(r.line, "%s is not a text", key)
		}
		if *field != "" {
			return broken(r.line, "a package has two values for %s", key)
		}
		*field = string(v.Data)
		r.sums = r.sums || key == "checksum"
	}
	return nil
}

// top reads what stands before the first table.
func (r *reader) top(key string, v *unstable.Node) error {
	switch key {
	case "package", "root", "metadata":
		return broken(r.line, "%q is not as cargo writes it", key)
	case "version":
		n, err := strconv.Atoi(string(v.Data))
		if v.Kind != unstable.Integer || err != nil || n < 1 {
			return broken(r.line, "version is not a number")
		}
		if n < 3 || n > 4 {
			return broken(r.line, "it is of version %d, and only those up to 4 are known", n)
		}
		r.file.version = n
	}
	return nil
}

func (r *reader) end() (*file, error) {
	if len(r.file.entries) == 0 {
		return nil, broken(0, "it names no packages")
	}
	for _, e := range r.file.entries {
		if e.name == "" || e.version == "" {
			return nil, broken(e.line, "a package has no name or no version")
		}
	}
	if r.file.version == 0 {
		r.file.version = 1
		if r.sums {
			r.file.version = 2
		}
	}
	return &r.file, nil
}

// syntax words an error of the TOML library.
func (r *reader) syntax(err error) error {
	line := 0
	if pe, ok := errors.AsType[*unstable.ParserError](err); ok {
		if at := r.offset(pe.Highlight); at >= 0 {
			line = 1 + bytes.Count(r.data[:at], []byte("\n"))
			rest := r.data[bytes.LastIndexByte(r.data[:at], '\n')+1:]
			for _, mark := range []string{"<<<<<<<", "=======", ">>>>>>>"} {
				if bytes.HasPrefix(rest, []byte(mark)) {
					return broken(line, "a merge has left its marks, %s", mark)
				}
			}
		}
	}
	return broken(line, "it is no TOML: %s", clip(err.Error()))
}
