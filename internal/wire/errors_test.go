package wire

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNewError(t *testing.T) {
	e := NewError(NotFound, ClassQueue, MethodQueueDeclare, "no queue '%s' in vhost '%s'", "q", "/")
	if e.Text != "NOT_FOUND - no queue 'q' in vhost '/'" || e.Hard() {
		t.Errorf("got %#v", e)
	}
	if got, want := e.Error(), "404 NOT_FOUND - no queue 'q' in vhost '/', in queue.declare"; got != want {
		t.Errorf("got %q", got)
	}
	if e := NewError(InternalError, 0, 0, ""); e.Text != "INTERNAL_ERROR" || !e.Hard() || e.Error() != "541 INTERNAL_ERROR" {
		t.Errorf("got %#v", e)
	}
}

func TestReplyTextIsCut(t *testing.T) {
	for _, c := range []struct {
		expl string
		want string
	}{
		{strings.Repeat("a", 241), "FRAME_ERROR - " + strings.Repeat("a", 241)},
		{strings.Repeat("a", 242), "FRAME_ERROR - " + strings.Repeat("a", 238) + "..."},
		{strings.Repeat("é", 200), "FRAME_ERROR - " + strings.Repeat("é", 119) + "..."},
	} {
		got := NewError(FrameError, 0, 0, "%s", c.expl).Text
		if got != c.want || len(got) > 255 || !utf8.ValidString(got) {
			t.Errorf("got %q", got)
		}
	}
}

func TestReplies(t *testing.T) {
	hard := map[uint16]bool{320: true, 402: true, 501: true, 502: true, 503: true, 504: true, 505: true, 506: true, 530: true, 540: true, 541: true}
	for _, code := range []uint16{200, 311, 312, 313, 320, 402, 403, 404, 405, 406, 501, 502, 503, 504, 505, 506, 530, 540, 541} {
		if IsHard(code) != hard[code] {
			t.Errorf("%d %s: hard is %v", code, ReplyName(code), IsHard(code))
		}
	}
	if ReplyName(999) != "INTERNAL_ERROR" || !IsHard(999) {
		t.Error("an unknown code is not an internal error")
	}
}

func TestUnexpectedFrame(t *testing.T) {
	e := NewUnexpectedFrame(Frame{Type: FrameBody, Payload: []byte("x")})
	if e.Code != UnexpectedFrame || e.Text != `UNEXPECTED_FRAME - type 3, all octets = <<"x">>` {
		t.Errorf("got %#v", e)
	}
}
