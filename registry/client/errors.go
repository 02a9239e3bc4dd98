package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/crateyard/crateyard/registry/wire"
)

// maxDetail bounds what an error repeats of an answer, which may be some proxy's whole page.
const maxDetail = 1000

// Error is an answer other than success.
type Error struct {
	StatusCode int    // of HTTP
	Detail     string // the server's own words; the status text when it had none
}

// Error gives the server's words with the status behind them.
func (e *Error) Error() string {
	return fmt.Sprintf("%s (HTTP %d)", e.Detail, e.StatusCode)
}

func newError(resp *http.Response, answer []byte) *Error {
	e := &Error{StatusCode: resp.StatusCode}
	var body wire.Errors
	if json.Unmarshal(answer, &body) == nil {
		var details []string
		for _, d := range body.Errors {
			details = append(details, d.Detail)
		}
		e.Detail = strings.Join(details, "; ")
	}
	if e.Detail == "" && resp.StatusCode == http.StatusNotFound { // ours says what is not found
		base := *resp.Request.URL
		base.User, base.RawQuery = nil, ""
		address, _, _ := strings.Cut(base.String(), "/api/v1")
		e.Detail = "no Crateyard registry answers at " + address + "; is that its address, with its port and path?"
	}
	if e.Detail == "" {
		e.Detail = strings.ToLower(http.StatusText(resp.StatusCode))
	}
	if len(e.Detail) > maxDetail {
		e.Detail = strings.ToValidUTF8(e.Detail[:maxDetail], "") + "…"
	}
	return e
}

// IsNotFound reports whether the thing asked for does not exist.
func IsNotFound(err error) bool { return hasStatus(err, http.StatusNotFound) }

// IsConflict reports whether the thing to create exists already.
func IsConflict(err error) bool { return hasStatus(err, http.StatusConflict) }

// IsUnauthorized reports whether the server does not know the token, or no longer.
func IsUnauthorized(err error) bool { return hasStatus(err, http.StatusUnauthorized) }

// IsForbidden reports whether the token is known and not enough.
func IsForbidden(err error) bool { return hasStatus(err, http.StatusForbidden) }

// IsInvalid reports whether the server refused the request itself; the same request will be refused again.
func IsInvalid(err error) bool {
	return hasStatus(err, http.StatusBadRequest) || hasStatus(err, http.StatusUnprocessableEntity)
}

func hasStatus(err error, status int) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.StatusCode == status
}

// withoutUserinfo takes a password out of the address that an error of net/http or net/url repeats.
func withoutUserinfo(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		if u, perr := url.Parse(ue.URL); perr == nil {
			u.User = nil
			ue.URL = u.String()
		} else {
			ue.URL = "(address)"
		}
	}
	return err
}
