package main

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/hareline/hareline/bus"
)

const recommendationQueue = "recommendation_service_queue"

// recommendationUpdated is the payload of recommendation.updated.
type recommendationUpdated struct {
	UserID          string   `json:"user_id"`
	Recommendations []string `json:"recommendations"`
}

// recommendationService learns from what users watch, and publishes what they
// might like. It is a subscriber and a publisher.
type recommendationService struct {
	events publisher
	stage  *stage

	mu          sync.Mutex
	superheroes map[string]bool // by user: likes them
}

// handleWatchStarted may meet an event twice. Then it publishes its own event
// twice, under the same message-id, which comes from the one it answers.
func (s *recommendationService) handleWatchStarted(ctx context.Context, e bus.Received) error {
	var v watchStarted
	if err := e.Decode(&v); err != nil {
		return err
	}
	if !pause(ctx, 50*time.Millisecond) { // the machine learns
		return context.Cause(ctx)
	}
	picks := s.learn(v)
	s.stage.say("recommendation", "%s watched %q: %s", v.UserID, v.VideoTitle, strings.Join(picks[:2], ", "))
	return s.events.publish(ctx, bus.Event{
		Type:      "recommendation.updated",
		Payload:   recommendationUpdated{UserID: v.UserID, Recommendations: picks},
		MessageID: strings.Replace(e.MessageID, ".watch.", ".picks.", 1),
	})
}

func (s *recommendationService) learn(v watchStarted) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	heroic := strings.Contains(v.VideoTitle, "Avengers") || strings.Contains(v.VideoTitle, "Iron Man")
	s.superheroes[v.UserID] = s.superheroes[v.UserID] || heroic
	if s.superheroes[v.UserID] {
		return []string{"Iron Man", "Thor", "Captain America", "Spider-Man"}
	}
	return []string{"The Matrix", "Inception", "Interstellar", "The Dark Knight"}
}
