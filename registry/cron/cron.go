// Package cron reads the times at which backups and syncs run, as cron and Kubernetes write them. It is the same for the server, which runs them, and
// the operator, which says what is wrong with one.
package cron

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Schedule is a cron schedule of five fields, in UTC: minute, hour, day of the month, month, day of the week.
type Schedule struct {
	minute, hour, day, month, weekday uint64 // bit n: n is in it
	anyDay, anyWeekday                bool   // the field begins with '*': then the other of the two alone decides
}

var (
	months   = []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
	weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
)

// Parse reads a schedule as cron and Kubernetes do: lists, ranges, steps, names of months and days, 7 for Sunday, and @hourly,
// @daily, @weekly, @monthly and @yearly. There are no time zones: it is UTC.
func Parse(text string) (*Schedule, error) {
	short := map[string]string{"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
		"@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *"}
	full, ok := short[strings.TrimSpace(text)]
	if !ok {
		full = text
	}
	fields := strings.Fields(full)
	if len(fields) != 5 {
		return nil, fmt.Errorf("schedule %q: it must have five fields, such as \"0 3 * * *\" for three o'clock UTC each day", text)
	}
	s := &Schedule{anyDay: strings.HasPrefix(fields[2], "*"), anyWeekday: strings.HasPrefix(fields[4], "*")}
	for i, f := range []struct {
		to          *uint64
		name        string
		least, most int
		names       []string // of least and on
	}{{&s.minute, "minute", 0, 59, nil}, {&s.hour, "hour", 0, 23, nil}, {&s.day, "day of the month", 1, 31, nil},
		{&s.month, "month", 1, 12, months}, {&s.weekday, "day of the week", 0, 7, weekdays}} {
		for part := range strings.SplitSeq(fields[i], ",") {
			bits, err := parsePart(part, f.least, f.most, f.names)
			if err != nil {
				return nil, fmt.Errorf("schedule %q: %s %q: %w", text, f.name, part, err)
			}
			*f.to |= bits
		}
	}
	if s.weekday&(1<<7) != 0 {
		s.weekday |= 1
	}
	if s.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("schedule %q: there is no such day", text)
	}
	return s, nil
}

func parsePart(part string, least, most int, names []string) (bits uint64, err error) {
	span, every, stepped := strings.Cut(part, "/")
	step := 1
	if stepped {
		if step, err = strconv.Atoi(every); err != nil || step < 1 {
			return 0, fmt.Errorf("a step is a number above 0")
		}
	}
	from, to := least, most
	if span != "*" {
		first, last, isRange := strings.Cut(span, "-")
		if from, err = parseValue(first, least, most, names); err != nil {
			return 0, err
		}
		if to = from; isRange {
			if to, err = parseValue(last, least, most, names); err != nil {
				return 0, err
			}
		} else if stepped {
			to = most
		}
	} else if most == 7 {
		to = 6 // Sunday once
	}
	if from > to {
		return 0, fmt.Errorf("the range ends before it begins")
	}
	for n := from; n <= to; n += step {
		bits |= 1 << n
	}
	return bits, nil
}

func parseValue(s string, least, most int, names []string) (int, error) {
	for i, name := range names {
		if strings.EqualFold(s, name) {
			return least + i, nil
		}
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || int(n) < least || int(n) > most {
		return 0, fmt.Errorf("it must be %d to %d", least, most)
	}
	return int(n), nil
}

// Next gives the first time of the schedule after t; zero when there is none, as for 30 February. In a schedule that names both a day of
// the month and a day of the week, either is enough.
func (s *Schedule) Next(t time.Time) time.Time {
	t = t.UTC().Truncate(time.Minute).Add(time.Minute)
	for end := t.AddDate(9, 0, 0); t.Before(end); { // 29 February is eight years away at most
		switch {
		case s.month&(1<<t.Month()) == 0:
			t = time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		case !s.onDay(t):
			t = time.Date(t.Year(), t.Month(), t.Day()+1, 0, 0, 0, 0, time.UTC)
		case s.hour&(1<<t.Hour()) == 0:
			t = t.Truncate(time.Hour).Add(time.Hour)
		case s.minute&(1<<t.Minute()) == 0:
			t = t.Add(time.Minute)
		default:
			return t
		}
	}
	return time.Time{}
}

func (s *Schedule) onDay(t time.Time) bool {
	day, weekday := s.day&(1<<t.Day()) != 0, s.weekday&(1<<t.Weekday()) != 0
	if s.anyDay || s.anyWeekday {
		return day && weekday
	}
	return day || weekday
}
