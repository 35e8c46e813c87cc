package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Load reads all scripts of a folder: the files *.txt.
func Load(folder string) ([]*Script, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil {
		return nil, fmt.Errorf("scripts: %w", err)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("scripts: no *.txt in %s", folder)
	}
	var all []*Script
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("scripts: %w", err)
		}
		scripts, err := Parse(strings.TrimSuffix(filepath.Base(path), ".txt"), string(text))
		if err != nil {
			return nil, err
		}
		all = append(all, scripts...)
	}
	return all, nil
}

// Recorded are the transcripts of one version, by file and name of the script.
type Recorded map[string]map[string]string

// LoadRecorded reads the transcripts of a folder. A folder that is not there has none.
func LoadRecorded(folder string) (Recorded, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil {
		return nil, fmt.Errorf("transcripts: %w", err)
	}
	all := Recorded{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("transcripts: %w", err)
		}
		of := map[string]string{}
		for part := range strings.SplitSeq("\n"+string(text), "\n--- ") {
			if name, rest, ok := strings.Cut(part, "\n"); ok && name != "" {
				of[name] = strings.TrimRight(rest, "\n") + "\n"
			}
		}
		all[strings.TrimSuffix(filepath.Base(path), ".txt")] = of
	}
	return all, nil
}

// Of is the script's transcript; false when none is recorded.
func (r Recorded) Of(s *Script) (string, bool) {
	text, ok := r[s.File][s.Name]
	return text, ok
}

// Set replaces the script's transcript.
func (r Recorded) Set(s *Script, text string) {
	if r[s.File] == nil {
		r[s.File] = map[string]string{}
	}
	r[s.File][s.Name] = text
}

// Save writes the transcripts of scripts into a folder, a file for each file of scripts, in the scripts' order. Others,
// of scripts that are no more, are left out.
func (r Recorded) Save(folder string, scripts []*Script) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("transcripts: %w", err)
	}
	texts := map[string]*strings.Builder{}
	for _, s := range scripts {
		text, ok := r.Of(s)
		if !ok {
			continue
		}
		b := texts[s.File]
		if b == nil {
			b = &strings.Builder{}
			texts[s.File] = b
		} else {
			b.WriteByte('\n')
		}
		b.WriteString("--- " + s.Name + "\n" + text)
	}
	for file, b := range texts {
		if err := os.WriteFile(filepath.Join(folder, file+".txt"), []byte(b.String()), 0o644); err != nil {
			return fmt.Errorf("transcripts: %w", err)
		}
	}
	return nil
}

// Diff lists where two transcripts differ, line by line, with some lines around; "" when they are equal.
func Diff(want, got string) string {
	if want == got {
		return ""
	}
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	start := 0
	for start < len(w) && start < len(g) && w[start] == g[start] {
		start++
	}
	endW, endG := len(w), len(g)
	for endW > start && endG > start && w[endW-1] == g[endG-1] {
		endW, endG = endW-1, endG-1
	}
	var b strings.Builder
	for _, line := range w[stepBefore(w, start):start] {
		b.WriteString("    " + line + "\n")
	}
	for _, line := range w[start:endW] {
		b.WriteString("  - " + line + "\n")
	}
	for _, line := range g[start:endG] {
		b.WriteString("  + " + line + "\n")
	}
	return b.String()
}

// stepBefore is the line of the step that a line belongs to.
func stepBefore(lines []string, at int) int {
	for i := min(at, len(lines)) - 1; i >= 0; i-- {
		if strings.HasPrefix(lines[i], "> ") {
			return i
		}
	}
	return 0
}
