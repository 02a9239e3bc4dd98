package httpapi

import (
	"net/http"
	"time"

	"github.com/crateyard/crateyard/registry/auth"
	"github.com/crateyard/crateyard/registry/fault"
)

// gitPrefix begins the addresses of the git index.
const gitPrefix = "/git/index/"

// serveGit lets git clients in and hands them on. They know no cargo token: where reading is private, the token is the password of
// HTTP's Basic scheme, under any user name, as git's credential helpers keep it.
func (a *API) serveGit(w *response, r *http.Request) error {
	if _, token, ok := r.BasicAuth(); ok {
		p, err := a.Auth.Authenticate(r.Context(), token)
		if err != nil {
			return a.Limits.failedAuth(w.address, err)
		}
		w.principal = p
	} else if h := r.Header.Get("Authorization"); h != "" {
		p, err := a.Auth.Authenticate(r.Context(), auth.FromHeader(h))
		if err != nil {
			return a.Limits.failedAuth(w.address, err)
		}
		w.principal = p
	}
	if a.Private && w.principal == nil {
		return fault.New(fault.Unauthenticated, "this registry's git index needs a token as the password of HTTP's Basic scheme; %s/me says how to get one", a.URL)
	}
	if r.PathValue("file") == "" {
		return fault.New(fault.NotFound, "here is the index for git: `git clone %[1]s/git/index`, and for cargo before 1.68 index = \"%[1]s/git/index\" in its configuration", a.URL)
	}
	// A clone takes as long as its reader does; git cannot go on with half of one.
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(downloadTime)); err != nil {
		return err
	}
	http.StripPrefix(gitPrefix[:len(gitPrefix)-1], a.Git).ServeHTTP(w, r)
	return nil
}
