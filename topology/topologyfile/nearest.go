package topologyfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hareline/hareline/internal/nearest"
)

// didYouMean hints at the nearest candidate, however either is spelled.
func didYouMean(name string, candidates []string) string {
	return nearest.Hint(name, candidates, func(name, c string) int { return nearest.Edits(snake(name), snake(c)) })
}

// unknownField says what an unknown field may be meant for: the nearest known one, also
// for the words of RabbitMQ's definitions, arguments and clients.
func unknownField(name string, known []string) (what, fix string) {
	plain := strings.TrimPrefix(snake(name), "x_")
	if plain == "durable" && slices.Contains(known, "transient") {
		return "is no field of it", "remove it: all is durable, unless it has transient: true"
	}
	theirs := map[string]string{
		"routing_key":                   "key",
		"type":                          "kind",
		"exchange_type":                 "kind",
		"alternate_exchange":            "alternate",
		"dead_letter_routing_key":       "dead_letter_key",
		"message_ttl":                   "ttl",
		"max_length_bytes":              "max_bytes",
		"single_active_consumer":        "single_active",
		"queue_type":                    "type",
		"queue_leader_locator":          "leader_locator",
		"quorum_initial_group_size":     "initial_group_size",
		"delayed_retry_type":            "delayed_retry",
		"stream_max_segment_size_bytes": "segment_bytes",
		"stream_filter_size_bytes":      "filter_bytes",
		"passive":                       "external",
		"destination_type":              "to_exchange",
	}
	what = "is no field of it"
	if ours := theirs[plain]; slices.Contains(known, ours) {
		what += fmt.Sprintf(", did you mean %q?", ours)
	} else {
		what += didYouMean(plain, known)
	}
	return what, "correct or remove it; there are " + strings.Join(known, ", ")
}
