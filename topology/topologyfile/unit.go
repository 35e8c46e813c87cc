package topologyfile

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// unlimited is topology.Unlimited in a file.
const unlimited = "unlimited"

const day = 24 * time.Hour

// parseDuration is time.ParseDuration with days in front: 7d, 1d12h.
func parseDuration(s string) (time.Duration, error) {
	errShape := errors.New("is no duration")
	digits, rest, hasDays := strings.Cut(s, "d")
	if !hasDays {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, errShape
		}
		return d, nil
	}
	digits, negative := strings.CutPrefix(digits, "-")
	days, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "+") {
		return 0, errShape
	}
	var d time.Duration
	if rest != "" {
		if d, err = time.ParseDuration(rest); err != nil {
			return 0, errShape
		}
	}
	if time.Duration(days) > (math.MaxInt64-d)/day {
		return 0, errors.New("is longer than 292 years")
	}
	d += time.Duration(days) * day
	if negative {
		d = -d
	}
	return d, nil
}

// formatDuration is the shortest form that parseDuration reads back.
func formatDuration(d time.Duration) string {
	if d < day { // negative ones too
		return shorten(d.String())
	}
	days := strconv.FormatInt(int64(d/day), 10) + "d"
	if d %= day; d == 0 {
		return days
	}
	return days + shorten(d.String())
}

// shorten drops zero units at the end: 5m0s is 5m.
func shorten(s string) string {
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// unit is a unit of size.
type unit struct {
	name  string
	bytes int64
}

// units are those of size, the largest first; of two equally good ones the first is
// written.
func units() []unit {
	return []unit{
		{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9},
		{"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1},
	}
}

// parseSize reads 64MiB, 1 GB, 100B: a whole number and a unit, powers of 1024 with an
// i and of 1000 without.
func parseSize(s string) (int64, error) {
	for _, u := range units() {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil {
			break
		}
		if n > math.MaxInt64/u.bytes || n < math.MinInt64/u.bytes {
			return 0, fmt.Errorf("is more than %d bytes", int64(math.MaxInt64))
		}
		return n * u.bytes, nil
	}
	return 0, errors.New("is no size")
}

// formatSize is the shortest exact form, "" where that is the bare number.
func formatSize(n int64) string {
	for _, u := range units() {
		if u.bytes > 1 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return ""
}
