package advisory

import (
	"fmt"
	"strings"

	gocvss30 "github.com/pandatix/go-cvss/30"
	gocvss31 "github.com/pandatix/go-cvss/31"
	gocvss40 "github.com/pandatix/go-cvss/40"
)

// Severity is what CVSS calls a score, in ascending order.
type Severity int

// The severities.
const (
	Unrated  Severity = iota // no score
	None                     // 0.0
	Low                      // 0.1 to 3.9
	Medium                   // 4.0 to 6.9
	High                     // 7.0 to 8.9
	Critical                 // 9.0 to 10.0
)

var severityNames = []string{"Unrated", "None", "Low", "Medium", "High", "Critical"}

// String gives the severity's name.
func (s Severity) String() string { return severityNames[s] }

// severityOf places a score, by the scale that CVSS 3 and 4 share.
func severityOf(score float64) Severity {
	switch {
	case score >= 9:
		return Critical
	case score >= 7:
		return High
	case score >= 4:
		return Medium
	case score > 0:
		return Low
	}
	return None
}

// score gives the base score of a CVSS vector; of 4.0, where scores have no parts, the score.
func score(vector string) (float64, error) {
	version, _, _ := strings.Cut(vector, "/")
	switch version {
	case "CVSS:3.0":
		v, err := gocvss30.ParseVector(vector)
		if err != nil {
			return 0, err
		}
		return v.BaseScore(), nil
	case "CVSS:3.1":
		v, err := gocvss31.ParseVector(vector)
		if err != nil {
			return 0, err
		}
		return v.BaseScore(), nil
	case "CVSS:4.0":
		v, err := gocvss40.ParseVector(vector)
		if err != nil {
			return 0, err
		}
		return v.Score(), nil
	}
	return 0, fmt.Errorf("it must be of CVSS 3.0, 3.1 or 4.0")
}
