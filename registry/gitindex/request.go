package gitindex

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// maxRequest bounds the body of a fetch, before and after inflating: some 20,000 commits that a client may say it has. git sends
// a few hundred.
const maxRequest = 1 << 20

// request is what a client wants, in any version of the protocol.
type request struct {
	command  string // version 2 only: ls-refs or fetch
	prefixes []string
	wants    []oid
	haves    []oid
	shallows []oid // commits whose parents the client does not have
	depth    int64 // 0: all
	done     bool  // no more haves come
	caps     []string

	isFirstHalf bool // versions 0 and 1: nothing came after the wants; only the shallows are asked for
}

func (r *request) can(capability string) bool { return slices.Contains(r.caps, capability) }

// errBadRequest is what a client should not have sent.
type errBadRequest struct{ reason string }

func (e *errBadRequest) Error() string { return e.reason }

func badRequestf(format string, args ...any) error {
	return &errBadRequest{fmt.Sprintf(format, args...)}
}

// readBody gives the packets of a request's body.
func readBody(w http.ResponseWriter, req *http.Request) (*bufio.Reader, error) {
	var body io.Reader = http.MaxBytesReader(w, req.Body, maxRequest)
	if req.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, badRequestf("the body is not gzip, though its Content-Encoding says so")
		}
		body = http.MaxBytesReader(w, z, maxRequest)
	}
	return bufio.NewReader(body), nil
}

// parseV0 reads a request of versions 0 and 1: wants, shallows and depth, a flush, then haves.
func parseV0(body *bufio.Reader) (*request, error) {
	r := &request{}
	flushes := 0
	for {
		kind, line, err := readPacket(body)
		if errors.Is(err, io.EOF) {
			r.isFirstHalf = flushes == 1 && len(r.haves) == 0
			return r, nil
		}
		if err != nil {
			return nil, err
		}
		if kind != packetLine {
			if flushes++; flushes == 1 && len(r.wants) == 0 {
				return r, nil // a client that has all it wants
			}
			continue
		}
		if rest, ok := strings.CutPrefix(line, "want "); ok && len(r.wants) == 0 {
			// The first want carries the capabilities.
			name, caps, _ := strings.Cut(rest, " ")
			line, r.caps = "want "+name, strings.Fields(caps)
		}
		if err := r.argument(line); err != nil {
			return nil, err
		}
		if r.done {
			return r, nil
		}
	}
}

// parseV2 reads a request of version 2: the command and capabilities, a mark, then arguments.
func parseV2(body *bufio.Reader) (*request, error) {
	r := &request{}
	args := false
	for {
		kind, line, err := readPacket(body)
		switch {
		case errors.Is(err, io.EOF) && r.command == "":
			return r, nil
		case err != nil:
			return nil, err
		case kind == packetDelim:
			args = true
			continue
		case kind != packetLine:
			return r, nil
		}
		if command, ok := strings.CutPrefix(line, "command="); ok && !args {
			r.command = command
			continue
		}
		if !args {
			r.caps = append(r.caps, line)
			continue
		}
		if prefix, ok := strings.CutPrefix(line, "ref-prefix "); ok {
			r.prefixes = append(r.prefixes, prefix)
			continue
		}
		if err := r.argument(line); err != nil {
			return nil, err
		}
	}
}

// argument reads a line that all versions have. Lines that ask for less than a whole answer, or say how to give it, are for
// version 2 only; those that may be ignored are.
func (r *request) argument(line string) (err error) {
	word, value, _ := strings.Cut(line, " ")
	switch word {
	case "want", "have", "shallow":
		o, err := parseOID(value)
		if err != nil {
			return badRequestf("%s: %v", word, err)
		}
		list := map[string]*[]oid{"want": &r.wants, "have": &r.haves, "shallow": &r.shallows}[word]
		*list = append(*list, o)
	case "deepen":
		if r.depth, err = strconv.ParseInt(value, 10, 64); err != nil || r.depth < 0 {
			return badRequestf("%q is no depth", value)
		}
	case "done":
		r.done = true
	case "thin-pack", "deepen-relative": // arguments in version 2, capabilities before
		r.caps = append(r.caps, word)
	case "deepen-since", "deepen-not", "filter", "want-ref", "packfile-uris":
		return badRequestf("this index cannot be fetched with %s: fetch it as a whole, or with --depth", word)
	}
	return nil
}
