package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/hareline/hareline/bus"
)

const (
	watchNotificationQueue = "notification_service_queue"
	picksNotificationQueue = "notification_recommendation_queue"
)

// notificationService tells users and their friends. It subscribes to two kinds
// of events, each with a queue of its own.
type notificationService struct {
	stage *stage
	sent  atomic.Int64
}

func (s *notificationService) handleWatchStarted(_ context.Context, e bus.Received) error {
	var v watchStarted
	if err := e.Decode(&v); err != nil {
		return err
	}
	s.send(fmt.Sprintf("friends: %s started watching %s", v.UserID, v.VideoTitle))
	return nil
}

func (s *notificationService) handleRecommendationUpdated(_ context.Context, e bus.Received) error {
	var v recommendationUpdated
	if err := e.Decode(&v); err != nil {
		return err
	}
	if len(v.Recommendations) < 2 {
		return fmt.Errorf("%d recommendations for %s, two are announced", len(v.Recommendations), v.UserID)
	}
	s.send(fmt.Sprintf("push to %s: try %s...", v.UserID, strings.Join(v.Recommendations[:2], ", ")))
	return nil
}

func (s *notificationService) send(text string) {
	s.sent.Add(1)
	s.stage.say("notification", "%s", text)
}
