package cmd

import (
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/wire"
)

// duration is a flag for a time, as 30s, 12h or 90d. Zero stands for what is left out, and so has no text: --help shows no default then.
type duration wire.Duration

// Set reads a duration.
func (d *duration) Set(text string) error { return (*wire.Duration)(d).UnmarshalText([]byte(text)) }

// String writes a duration.
func (d *duration) String() string {
	if *d == 0 {
		return ""
	}
	return plainDuration(time.Duration(*d))
}

// plainDuration writes a duration without the parts that are zero, as people do: 72h, not 72h0m0s.
func plainDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Type is what --help calls the value.
func (d *duration) Type() string { return "duration" }
