package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// stage is where the services tell what they do, in lines of one width. It is
// safe for many goroutines.
type stage struct {
	began time.Time
	quiet bool // too many users to show each

	mu  sync.Mutex
	out io.Writer
}

// say writes what a service does, unless there are too many users.
func (s *stage) say(who, format string, args ...any) {
	if !s.quiet {
		s.tell(who, format, args...)
	}
}

// tell writes what must be seen in any case.
func (s *stage) tell(who, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "%6.2fs  %-20s %s\n", time.Since(s.began).Seconds(), who, fmt.Sprintf(format, args...))
}

// head writes a heading.
func (s *stage) head(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "\n%s\n", text)
}
