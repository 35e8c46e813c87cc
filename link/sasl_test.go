package link

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
)

func TestHowToLogIn(t *testing.T) {
	certificate := &tls.Config{Certificates: []tls.Certificate{{}}}
	for _, tt := range []struct {
		url   string
		asked *Credentials
		tls   *tls.Config
		want  string
	}{
		{"amqp://h/", nil, nil, "PLAIN guest:guest"},
		{"amqp://app:secret@h/", nil, nil, "PLAIN app:secret"},
		{"amqps://h/", nil, &tls.Config{}, "PLAIN guest:guest"},
		{"amqps://h/", nil, certificate, "EXTERNAL"},
		{"amqps://app:secret@h/", nil, certificate, "PLAIN app:secret"},
		{"amqps://app:secret@h/?auth_mechanism=external", nil, certificate, "EXTERNAL"},
		{"amqps://app:secret@h/?auth_mechanism=external&auth_mechanism=plain", nil, certificate, "EXTERNAL, PLAIN app:secret"},
		{"amqp://app:secret@h/?auth_mechanism=amqplain", &Credentials{Password: "new"}, nil, "AMQPLAIN app:new"},
		{"amqp://app:secret@h/", &Credentials{User: "other", Password: "new"}, nil, "PLAIN other:new"},
		{"amqp://app:secret@h/", &Credentials{Password: "token"}, nil, "PLAIN app:token"},
		{"amqp://h/", &Credentials{Password: "token"}, nil, "PLAIN :token"},
		{"amqps://h/", &Credentials{User: "app", Password: "token"}, certificate, "PLAIN app:token"},
		{"amqps://app:secret@h/", &Credentials{}, certificate, "EXTERNAL"},
		{"amqp://app:secret@h/", &Credentials{}, nil, "error"},
	} {
		sasl, err := endpoints([]string{tt.url})[0].sasl(tt.asked, tt.tls)
		var got []string
		for _, a := range sasl {
			text := a.Mechanism()
			switch parts := strings.Split(a.Response(), "\x00"); text {
			case "PLAIN":
				text += fmt.Sprintf(" %s:%s", parts[1], parts[2])
			case "AMQPLAIN":
				for _, secret := range []string{"app", "new"} {
					if !strings.Contains(a.Response(), secret) {
						t.Errorf("%q in AMQPLAIN", a.Response())
					}
				}
				text += " app:new"
			}
			got = append(got, text)
		}
		if err != nil {
			got = []string{"error"}
		}
		if s := strings.Join(got, ", "); s != tt.want {
			t.Errorf("%s: %s, want %s", tt.url, s, tt.want)
		}
	}
}
