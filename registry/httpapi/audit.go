package httpapi

import (
	"bufio"
	"encoding/json"
	"net/http"
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
	if strings.Contains(r.Header.Get("Accept"), jsonLines) || r.URL.Query().Get("format") == "jsonl" {
		return a.serveAuditLines(w, r, f)
	}
	limit, err := number(r.URL.Query().Get("limit"), "limit", defaultAudit, maxAudit)
	if err != nil {
		return err
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

func (a *API) serveAuditLines(w *response, r *http.Request, f catalog.AuditFilter) error {
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
	}
	_ = buf.Flush() // likewise
	return nil
}

func auditWire(r catalog.Record) wire.AuditRecord {
	return wire.AuditRecord{ID: r.ID, At: r.At, Actor: r.Actor, TokenID: r.TokenID, Token: r.Token, Address: r.Address, Action: r.Action, Crate: r.Crate,
		Version: r.Version, Subject: r.Subject, Before: r.Before, After: r.After}
}

func auditFilter(r *http.Request) (f catalog.AuditFilter, err error) {
	q := r.URL.Query()
	f = catalog.AuditFilter{Actor: q.Get("user"), Crate: q.Get("crate"), Action: q.Get("action"), Subject: q.Get("subject")}
	for name, to := range map[string]*time.Time{"since": &f.Since, "until": &f.Until} {
		if s := q.Get(name); s != "" {
			if *to, err = time.Parse(time.RFC3339, s); err != nil {
				return f, fault.New(fault.Invalid, "%s must be a time such as 2026-01-31T00:00:00Z, not %q", name, s)
			}
		}
	}
	if s := q.Get("before_id"); s != "" {
		if f.Before, err = strconv.ParseInt(s, 10, 64); err != nil || f.Before < 1 {
			return f, fault.New(fault.Invalid, "before_id must be the number of a record, not %q", s)
		}
	}
	return f, nil
}
