package index

import "encoding/json"

// Config is config.json, the first thing that cargo asks a registry for.
type Config struct {
	Download     string `json:"dl"`
	API          string `json:"api,omitempty"`           // left out: a registry that is only read
	AuthRequired bool   `json:"auth-required,omitempty"` // true or left out: null breaks every cargo
}

// NewConfig makes the config.json of the hosted crates of a registry at url, which has no slash at its end. The download
// address has no markers, so cargo appends /{crate}/{version}/download; it may never change, for a cargo with a lockfile
// and a warm cache keeps the old one.
func NewConfig(url string, authRequired bool) Config {
	return Config{Download: url + "/crates", API: url, AuthRequired: authRequired}
}

// JSON gives the file's bytes.
func (c Config) JSON() []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // two strings and a bool always marshal
	}
	return append(b, '\n')
}
