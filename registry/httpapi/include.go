package httpapi

import (
	"net/http"
	"strings"

	"github.com/crateyard/crateyard/registry/fault"
)

// parts are what is told of a crate beside what the crate itself says, under crates.io's names.
type parts struct{ Versions, Keywords, Categories, Downloads, DefaultVersion bool }

var allParts = parts{true, true, true, true, true}

// partsOf gives the parts that a request asks for with include, a list with commas. All, where it does not ask.
func partsOf(r *http.Request) (p parts, err error) {
	q := r.URL.Query()
	if !q.Has("include") {
		return allParts, nil
	}
	for part := range strings.SplitSeq(q.Get("include"), ",") {
		switch part {
		case "", "badges": // there are none
		case "full":
			p = allParts
		case "versions":
			p.Versions = true
		case "keywords":
			p.Keywords = true
		case "categories":
			p.Categories = true
		case "downloads":
			p.Downloads = true
		case "default_version":
			p.DefaultVersion = true
		default:
			return p, fault.New(fault.Invalid, "include takes versions, keywords, categories, badges, downloads, default_version and full, with commas between them, not %.80q", part)
		}
	}
	return p, nil
}
