package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/hareline/hareline/dlq"
)

// shown is how many letters or missing events are listed; the rest is counted.
const shown = 8

// showLetters lists letters with the story of why they are there.
func showLetters(out io.Writer, run string, letters []dlq.Letter) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  FAILED IN\tMESSAGE\tREASON\tATTEMPTS\tREPLAYS\tCLASS\tLAST ERROR")
	for i, l := range letters {
		if i == shown {
			break
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%d\t%d\t%s\t%s\n", l.Queue, strings.TrimPrefix(l.Delivery.MessageId, run),
			l.Reason, l.Attempts, l.Story.ReplayCount, l.ErrorClass, short(l.LastError, 60))
	}
	_ = w.Flush() // a reader that has gone is told by what is written next
	if more := len(letters) - shown; more > 0 {
		fmt.Fprintf(out, "  ... and %d more\n", more)
	}
}

// showTotals writes the table, what is missing, and the line for machines, which
// is the last one. It returns how many events are missing.
func showTotals(out io.Writer, run string, all []total) int {
	sum := sumOf(all)
	const row = "%-36s %9v %8v %10v %8v %10v %8v\n"
	fmt.Fprintf(out, row, "SUBSCRIBER", "PUBLISHED", "HANDLED", "IN ITS DLQ", "MISSING", "DUPLICATES", "RETRIES")
	for _, t := range append(all, sum) {
		fmt.Fprintf(out, row, t.group, t.published, t.handled, t.buried, len(t.missing), t.duplicates, t.retries)
	}
	for i, id := range sum.missing {
		if i == shown {
			fmt.Fprintf(out, "... and %d more are missing\n", len(sum.missing)-shown)
			break
		}
		fmt.Fprintf(out, "missing: %s\n", strings.TrimPrefix(id, run))
	}
	fmt.Fprintf(out, "\nTOTAL published=%d handled=%d buried=%d missing=%d duplicates=%d\n",
		sum.published, sum.handled, sum.buried, len(sum.missing), sum.duplicates)
	return len(sum.missing)
}

// sumOf adds up the subscribers. A missing event is named with its subscriber.
func sumOf(all []total) total {
	sum := total{group: "all"}
	for _, t := range all {
		sum.published += t.published
		sum.handled += t.handled
		sum.buried += t.buried
		sum.duplicates += t.duplicates
		sum.retries += t.retries
		for _, id := range t.missing {
			sum.missing = append(sum.missing, id+" at "+t.group)
		}
	}
	return sum
}

func short(s string, most int) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > most {
		return string(r[:most-3]) + "..."
	}
	return s
}
