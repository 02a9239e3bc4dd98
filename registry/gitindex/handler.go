package gitindex

import (
	"bufio"
	"errors"
	"net/http"
	"slices"
	"strings"
)

// branch is the only branch: what crates.io's index calls it.
const branch = "refs/heads/master"

const agent = "agent=crateyard"

// capabilitiesV0 are what versions 0 and 1 may ask for.
const capabilitiesV0 = "multi_ack multi_ack_detailed no-done thin-pack side-band side-band-64k ofs-delta shallow deepen-relative " +
	"no-progress include-tag symref=HEAD:" + branch + " object-format=sha1 " + agent

// Handler serves the repository below the address it is mounted at, which must be taken off the path before: info/refs
// and git-upload-pack. It asks nobody who they are.
func (r *Repo) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /info/refs", r.serveRefs)
	mux.HandleFunc("POST /git-upload-pack", r.serveUploadPack)
	mux.HandleFunc("POST /git-receive-pack", refusePush)
	return mux
}

func refusePush(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "Nobody pushes to the index of a registry: publish crates with `cargo publish`.", http.StatusForbidden)
}

// serveRefs answers for the newest commit, after it has brought the repository up to date: who knows of a publish finds it.
func (r *Repo) serveRefs(w http.ResponseWriter, req *http.Request) {
	switch req.URL.Query().Get("service") {
	case "git-upload-pack":
	case "git-receive-pack":
		refusePush(w, req)
		return
	default:
		http.Error(w, "This index is served over git's smart HTTP only: use git 1.6.6 or newer, or any cargo.", http.StatusForbidden)
		return
	}
	if err := r.Sync(req.Context()); err != nil {
		r.fail(w, req, err)
		return
	}
	_, t, err := r.current()
	if err != nil {
		r.fail(w, req, err)
		return
	}
	p := answer(w, "application/x-git-upload-pack-advertisement")
	version := protocolVersion(req)
	p.linef("# service=git-upload-pack")
	p.flush()
	switch version {
	case 2:
		p.linef("version 2")
		p.linef(agent)
		p.linef("ls-refs")
		p.linef("fetch=shallow")
		p.linef("object-format=sha1")
	default:
		if version == 1 {
			p.linef("version 1")
		}
		p.linef("%s HEAD\x00%s", t.oid, capabilitiesV0)
		p.linef("%s %s", t.oid, branch)
	}
	p.flush()
	_ = p.w.Flush() // the client is gone when this fails
}

// protocolVersion gives the newest version that a client asks for and that is known.
func protocolVersion(req *http.Request) int {
	for part := range strings.SplitSeq(req.Header.Get("Git-Protocol"), ":") {
		switch part {
		case "version=2":
			return 2
		case "version=1":
			return 1
		}
	}
	return 0
}

func (r *Repo) serveUploadPack(w http.ResponseWriter, req *http.Request) {
	body, err := readBody(w, req)
	if err != nil {
		r.fail(w, req, err)
		return
	}
	isV2 := protocolVersion(req) == 2
	parse := parseV0
	if isV2 {
		parse = parseV2
	}
	ask, err := parse(body)
	if err != nil {
		if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
			err = badRequestf("the request is longer than %d bytes", tooLarge.Limit)
		} else if _, ok := errors.AsType[*errBadRequest](err); !ok {
			err = badRequestf("the request is no message of git: %v", err)
		}
		r.fail(w, req, err)
		return
	}
	s, t, err := r.current()
	if err != nil {
		if err = r.Sync(req.Context()); err == nil {
			s, t, err = r.current()
		}
		if err != nil {
			r.fail(w, req, err)
			return
		}
	}
	if isV2 && ask.command == "ls-refs" {
		p := answer(w, "application/x-git-upload-pack-result")
		for name, attribute := range map[string]string{"HEAD": " symref-target:" + branch, branch: ""} {
			if len(ask.prefixes) == 0 || slices.ContainsFunc(ask.prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
				p.linef("%s %s%s", t.oid, name, attribute)
			}
		}
		p.flush()
		_ = p.w.Flush() // the client is gone when this fails
		return
	}
	if isV2 && ask.command != "fetch" {
		r.fail(w, req, badRequestf("the command %q is not known", ask.command))
		return
	}
	f := &fetch{repo: r, store: s, ask: ask}
	if err := f.understand(req.Context()); err != nil {
		r.fail(w, req, err)
		return
	}
	defer f.close()
	f.out = answer(w, "application/x-git-upload-pack-result")
	if isV2 {
		err = f.answerV2(req.Context())
	} else {
		err = f.answerV0(req.Context())
	}
	if err == nil {
		err = f.out.w.Flush()
	}
	if err != nil {
		r.Log.InfoContext(req.Context(), "a fetch of the git index broke off", "error", err)
		panic(http.ErrAbortHandler) // what was sent is no whole answer: the client must see the connection break
	}
}

// answer begins an answer. What it writes must be flushed.
func answer(w http.ResponseWriter, contentType string) *packetWriter {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-cache")
	return &packetWriter{w: bufio.NewWriterSize(w, maxPacket)}
}

// fail answers with an error that git shows to its user.
func (r *Repo) fail(w http.ResponseWriter, req *http.Request, err error) {
	if bad, ok := errors.AsType[*errBadRequest](err); ok {
		http.Error(w, bad.reason, http.StatusBadRequest)
		return
	}
	if req.Context().Err() != nil {
		return // the client is gone
	}
	r.Log.ErrorContext(req.Context(), "the git index cannot be read", "error", err)
	http.Error(w, "The git index cannot be read now; the server's log says why. Try again later, or use the sparse index.", http.StatusServiceUnavailable)
}
