package monitor

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// Live answers whether the process should go on: 200, or 503 where a restart of it
// helps and nothing else does. That is when a consumer has stopped with an error, for
// consumer.Run has returned then and nothing consumes its queue, and when a handler has
// been stuck for VitalsConfig.StuckFor, for no handler can be stopped from outside.
// Nothing else fails it: a broker that is away, a link that is lost, an alarm and a ladder
// that stands are there after the restart, too. It asks neither Monitor nor Probes.
//
// The answer is a [Health] of the process alone. Of both handlers: GET and HEAD, any
// path; nothing waits for I/O; nothing may be cached. The answers name servers, queues and
// the broker's words, but no user, password or message: they are for an address inside
// of the cluster all the same.
func (v *Vitals) Live() http.Handler {
	return v.serve(func() (Health, bool) {
		h := v.cfg.judgeProcess(v.signs()).redacted(v.cfg.Redact)
		return h, h.Live
	})
}

// Ready answers whether the process should get traffic: 200, or 503 while a condition of
// VitalsConfig.Unready is failing or unknown, or Live fails. The answer is a [Health], with
// all conditions.
func (v *Vitals) Ready() http.Handler {
	return v.serve(func() (Health, bool) {
		h := v.Check()
		return h, h.Ready
	})
}

func (v *Vitals) serve(check func() (h Health, well bool)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			header.Set("Allow", "GET, HEAD")
			http.Error(w, "use GET or HEAD", http.StatusMethodNotAllowed)
			return
		}
		h, well := check()
		body, err := json.Marshal(h)
		if err != nil { // a time beyond the year 9999
			http.Error(w, "the health cannot be written as JSON", http.StatusInternalServerError)
			return
		}
		status := http.StatusOK
		if !well {
			status = http.StatusServiceUnavailable
		}
		header.Set("Content-Type", "application/json; charset=utf-8")
		header.Set("Content-Length", strconv.Itoa(len(body)+1))
		w.WriteHeader(status)
		if r.Method == http.MethodGet {
			_, _ = w.Write(append(body, '\n')) // whoever asked has gone
		}
	})
}
