package httpapi

import (
	"bufio"
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/wire"
)

// jsonLines is the type of the audit as one record a line, all of them, for whoever feeds another system.
const jsonLines = "application/x-ndjson"

// Records of one page of the audit.
const (
	defaultAudit = 100
	maxAudit     = 1000
)

// serveAudit shows who changed what, the newest first: a page as JSON, or all as JSON lines.
func (a *API) serveAudit(w *response, r *http.Request) error {
	f, err := auditFilter(r)
	if err != nil {
		return err
	}
	format, most := r.URL.Query().Get("format"), defaultAudit
	switch {
	case format != "" && format != "json" && format != "jsonl":
		return fault.New(fault.Invalid, "format must be json or jsonl, not %q", format)
	case format == "" && strings.Contains(r.Header.Get("Accept"), jsonLines):
		format = "jsonl"
	}
	if format == "jsonl" {
		most = 0
	}
	limit, err := number(r.URL.Query().Get("limit"), "limit", most, maxAudit)
	if err != nil {
		return err
	}
	if format == "jsonl" {
		return a.serveAuditLines(w, r, f, limit)
	}
	page := wire.Audit{Records: []wire.AuditRecord{}}
	for rec, err := range a.Catalog.Audit(r.Context(), f) {
		if err != nil {
			return err
		}
		if len(page.Records) == limit {
			page.Next = page.Records[limit-1].ID
			break
		}
		page.Records = append(page.Records, auditWire(rec))
	}
	return w.json(http.StatusOK, page)
}

// serveAuditLines writes a line for each record, limit of them at most; 0 is no limit.
func (a *API) serveAuditLines(w *response, r *http.Request, f catalog.AuditFilter, limit int) error {
	w.Header().Set("Content-Type", jsonLines)
	w.Header().Set("Cache-Control", "no-store")
	buf := bufio.NewWriterSize(w, 32<<10)
	enc := json.NewEncoder(buf)
	for rec, err := range a.Catalog.Audit(r.Context(), f) {
		if err != nil {
			return err
		}
		if err := enc.Encode(auditWire(rec)); err != nil {
			return nil // the client is gone
		}
		if limit--; limit == 0 {
			break
		}
	}
	_ = buf.Flush() // likewise
	return nil
}

func auditWire(r catalog.Record) wire.AuditRecord {
	return wire.AuditRecord{ID: r.ID, At: r.At, Actor: r.Actor, TokenID: r.TokenID, Token: r.Token, Address: r.Address, Action: r.Action, Crate: r.Crate,
		Version: r.Version, Subject: r.Subject, Before: r.Before, After: r.After}
}

// auditKeys are what the audit can be asked for. It refuses others: to pass over a filter would give records that nobody asked for, and
// whoever is wrong in a key would take them for the answer.
var auditKeys = []string{"actor", "user", "crate", "version", "action", "subject", "token", "token_id", "address", "since", "until", "before_id", "limit", "format"}

func auditFilter(r *http.Request) (f catalog.AuditFilter, err error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return f, fault.New(fault.Invalid, "the query cannot be read: %v", err)
	}
	for name, values := range q {
		switch {
		case !slices.Contains(auditKeys, name):
			return f, fault.New(fault.Invalid, "the audit does not know %q; it can be asked for %s", name, strings.Join(auditKeys, ", "))
		case len(values) > 1:
			return f, fault.New(fault.Invalid, "%s stands in the query %d times; say it once", name, len(values))
		}
	}
	if q.Has("user") && q.Has("actor") {
		return f, fault.New(fault.Invalid, "actor and user are the same; say one of them")
	}
	f = catalog.AuditFilter{Actor: cmp.Or(q.Get("actor"), q.Get("user")), Crate: q.Get("crate"), Version: q.Get("version"), Action: q.Get("action"),
		Subject: q.Get("subject"), Token: q.Get("token"), Address: q.Get("address")}
	if f.Action != "" && !slices.Contains(catalog.Actions, f.Action) {
		return f, fault.New(fault.Invalid, "there is no action %q; these are: %s", f.Action, strings.Join(catalog.Actions, ", "))
	}
	for name, to := range map[string]*time.Time{"since": &f.Since, "until": &f.Until} {
		if s := q.Get(name); s != "" {
			if *to, err = time.Parse(time.RFC3339, s); err != nil {
				return f, fault.New(fault.Invalid, "%s must be a time such as 2026-01-31T00:00:00Z, not %q", name, s)
			}
		}
	}
	for name, of := range map[string]struct {
		what string
		to   *int64
	}{"before_id": {"record", &f.Before}, "token_id": {"token", &f.TokenID}} {
		if s := q.Get(name); s != "" {
			if *of.to, err = strconv.ParseInt(s, 10, 64); err != nil || *of.to < 1 {
				return f, fault.New(fault.Invalid, "%s must be the number of a %s, not %q", name, of.what, s)
			}
		}
	}
	return f, nil
}
