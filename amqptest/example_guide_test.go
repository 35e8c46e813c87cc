package amqptest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")

// TestGuideQuotesExamples holds what docs/amqptest.md and the README show
// against the examples, which are compiled and run.
func TestGuideQuotesExamples(t *testing.T) {
	files, err := filepath.Glob("example*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var examples strings.Builder
	for _, file := range files {
		examples.WriteString(read(t, file))
	}
	var blocks int
	for _, doc := range []string{"../docs/amqptest.md", "../README.md"} {
		for _, block := range goBlock.FindAllStringSubmatch(read(t, doc), -1) {
			if doc == "../README.md" && !strings.Contains(block[1], "amqptest.New(t)") {
				continue
			}
			blocks++
			if !strings.Contains(examples.String(), block[1]) {
				t.Errorf("%s: not in any example*_test.go, word for word:\n%s", doc, block[1])
			}
		}
	}
	if blocks < 2 {
		t.Errorf("found %d blocks of Go", blocks)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
