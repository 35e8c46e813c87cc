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

	mu    sync.Mutex
	out   io.Writer
	ended bool // nothing more is shown
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
	if !s.ended {
		fmt.Fprintf(s.out, "%6.2fs  %-20s %s\n", time.Since(s.began).Seconds(), who, fmt.Sprintf(format, args...))
	}
}

// show writes a heading and what belongs under it.
func (s *stage) show(heading string, below func(io.Writer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "\n%s\n", heading)
	below(s.out)
}

// end makes what has been shown the last.
func (s *stage) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}

func nothing(io.Writer) {}
