package mirror

import "time"

// Metrics is told what mirrors do. mirror is a mirror's name; the other words come from short lists.
type Metrics interface {
	// Served counts answers with an index file or archive: hit (from the cache), miss (upstream was asked) or stale (upstream is of no help).
	Served(mirror, what, how string)
	// Denied counts what a policy kept from somebody, by rule.
	Denied(mirror, rule string)
	// Warned counts archives that were given out although a rule that only warns is about them.
	Warned(mirror, rule string)
	// Sent counts bytes of archives to clients.
	Sent(mirror string, bytes int64)
	// UpstreamRequest counts a request to upstream: what is index, crate, config or facts; code is the status, or error.
	UpstreamRequest(mirror, what, code string, took time.Duration)
	// UpstreamBytes counts bytes from upstream.
	UpstreamBytes(mirror, what string, bytes int64)
	// Evicted counts archives that retention removed, and their bytes.
	Evicted(mirror string, bytes int64)
	// ChecksumChanged counts index files and archives that were refused because bytes that must never change had changed.
	ChecksumChanged(mirror string)
	// Forget drops what is said of a mirror that is gone.
	Forget(mirror string)
}
