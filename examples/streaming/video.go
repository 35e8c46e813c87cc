package main

import (
	"context"
	"fmt"
	"time"

	"github.com/hareline/hareline/bus"
)

// watchStarted is the payload of video.watch_started.
type watchStarted struct {
	UserID     string `json:"user_id"`
	VideoID    string `json:"video_id"`
	VideoTitle string `json:"video_title"`
	SessionID  string `json:"session_id"`
}

// watchProgress is the payload of video.watch_progress.
type watchProgress struct {
	UserID  string `json:"user_id"`
	Percent int    `json:"percent"` // of the video, seen
}

// viewing is one user in front of one video.
type viewing struct{ userID, videoID, title string }

// viewings are the first n: three known ones, then made-up ones.
func viewings(n int) []viewing {
	all := []viewing{
		{"user123", "video456", "Avengers: Endgame"},
		{"user789", "video123", "The Dark Knight"},
		{"user456", "video789", "Iron Man"},
	}
	for i := len(all); i < n; i++ {
		v := all[i%3]
		v.userID = fmt.Sprintf("viewer%04d", i)
		all = append(all, v)
	}
	return all[:n]
}

// videoService publishes what users do with videos.
type videoService struct {
	events publisher
	stage  *stage
}

// startWatching publishes that a user started a video. Its caller does not wait
// for any other service.
func (s *videoService) startWatching(ctx context.Context, v viewing) error {
	s.stage.say("video", "%s starts %q", v.userID, v.title)
	return s.events.publish(ctx, bus.Event{
		Type: "video.watch_started",
		Payload: watchStarted{
			UserID: v.userID, VideoID: v.videoID, VideoTitle: v.title,
			SessionID: fmt.Sprintf("session_%s_%d", v.userID, time.Now().Unix()),
		},
		MessageID: s.events.id("watch", v.userID),
	})
}

// reportProgress publishes how much of a video a user has seen.
func (s *videoService) reportProgress(ctx context.Context, userID string, percent int) error {
	s.stage.tell("video", "%s has seen %d %% of a video", userID, percent)
	return s.events.publish(ctx, bus.Event{
		Type:      "video.watch_progress",
		Payload:   watchProgress{UserID: userID, Percent: percent},
		MessageID: s.events.id("progress", userID),
	})
}
