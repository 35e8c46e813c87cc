package amqptest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// UpdateGolden is the environment variable that has [Broker.CompareTrace]
// write its file instead of reading it, if it is not empty.
const UpdateGolden = "AMQPTEST_UPDATE"

// CompareTrace compares [Broker.TraceText] with a file. The error shows the
// first line that differs, and what came before it. With [UpdateGolden] in
// the environment the file is written, and the folders that it lies in.
func (b *Broker) CompareTrace(file string, where func(Event) bool) error {
	got := b.TraceText(where)
	if os.Getenv(UpdateGolden) != "" {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return fmt.Errorf("amqptest: write the trace: %w", err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			return fmt.Errorf("amqptest: write the trace: %w", err)
		}
		return nil
	}
	want, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("amqptest: no golden file: set %s=1 to write it: %w", UpdateGolden, err)
	}
	if err != nil {
		return fmt.Errorf("amqptest: read the golden file: %w", err)
	}
	return firstDifference(file, strings.ReplaceAll(string(want), "\r\n", "\n"), got)
}

func firstDifference(file, want, got string) error {
	if want == got {
		return nil
	}
	const before = 5
	wants, gots := strings.Split(want, "\n"), strings.Split(got, "\n")
	at := 0
	for at < len(wants) && at < len(gots) && wants[at] == gots[at] {
		at++
	}
	var s strings.Builder
	fmt.Fprintf(&s, "amqptest: the trace differs from %s in line %d (%s=1 writes it anew):\n", file, at+1, UpdateGolden)
	for _, line := range wants[max(0, at-before):at] {
		fmt.Fprintf(&s, "  %s\n", line)
	}
	if at < len(wants) {
		fmt.Fprintf(&s, "- %s\n", wants[at])
	}
	if at < len(gots) {
		fmt.Fprintf(&s, "+ %s\n", gots[at])
	}
	return errors.New(strings.TrimSuffix(s.String(), "\n"))
}
