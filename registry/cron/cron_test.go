package cron

import (
	"strings"
	"testing"
	"time"
)

func TestSchedule(t *testing.T) {
	const from = "2026-01-30T10:30:15Z" // a Friday
	for text, want := range map[string]string{
		"* * * * *":             "2026-01-30T10:31 2026-01-30T10:32",
		"0 3 * * *":             "2026-01-31T03:00 2026-02-01T03:00",
		"30 10 * * *":           "2026-01-31T10:30 2026-02-01T10:30",
		"*/20 * * * *":          "2026-01-30T10:40 2026-01-30T11:00",
		"5/20 * * * *":          "2026-01-30T10:45 2026-01-30T11:05",
		"0 9-17/4 * * *":        "2026-01-30T13:00 2026-01-30T17:00",
		"0 0 31 * *":            "2026-01-31T00:00 2026-03-31T00:00",
		"0 0 29 2 *":            "2028-02-29T00:00 2032-02-29T00:00",
		"15 2 * * mon,WED":      "2026-02-02T02:15 2026-02-04T02:15",
		"0 0 * * 7":             "2026-02-01T00:00 2026-02-08T00:00",
		"0 0 * * 5-7":           "2026-01-31T00:00 2026-02-01T00:00",
		"0 0 2 * tue":           "2026-02-02T00:00 2026-02-03T00:00", // either is enough
		"0 0 */2 * tue":         "2026-02-03T00:00 2026-02-17T00:00", // with '*' at its beginning both must be so, as in cron
		"0 0 1 jan-feb *":       "2026-02-01T00:00 2027-01-01T00:00",
		"@daily":                "2026-01-31T00:00 2026-02-01T00:00",
		"@hourly":               "2026-01-30T11:00 2026-01-30T12:00",
		" 0  12 * * * ":         "2026-01-30T12:00 2026-01-31T12:00",
		"0 0 30 2 *":            "!there is no such day",
		"0 0 * *":               "!five fields",
		"0 0 * * * *":           "!five fields",
		"":                      "!five fields",
		"60 0 * * *":            `!minute "60": it must be 0 to 59`,
		"0 24 * * *":            "!hour",
		"0 0 0 * *":             "!day of the month",
		"0 0 * 13 *":            "!month",
		"0 0 * * 8":             "!day of the week",
		"5-1 * * * *":           "!ends before it begins",
		"*/0 * * * *":           "!step",
		"*/-1 * * * *":          "!step",
		"a * * * *":             "!it must be",
		", * * * *":             "!it must be",
		"TZ=Europe/Rome":        "!five fields",
		"TZ=UTC 0 0 * * *":      "!five fields",
		"+1 * * * *":            "!it must be",
		"0 0 * foo *":           "!it must be",
		"0 0 1-99999999999 * *": "!it must be",
	} {
		s, err := Parse(text)
		if reason, bad := strings.CutPrefix(want, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), reason) {
				t.Errorf("%q: %v, want %q", text, err, reason)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		at, err := time.Parse(time.RFC3339, from)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for range 2 {
			at = s.Next(at)
			got = append(got, at.Format("2006-01-02T15:04"))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q after %s: %q, want %s", text, from, got, want)
		}
	}
	s, err := Parse("0 3 * * *")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Next(time.Date(2026, 6, 1, 5, 30, 0, 0, time.FixedZone("", 3*3600))); !got.Equal(time.Date(2026, 6, 1, 3, 0, 0, 0, time.UTC)) {
		t.Errorf("in another zone: %s", got)
	}
}
