package amqptest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// object is a JSON object.
type object = map[string]any

// apiReply is the answer to a request.
type apiReply struct {
	status    int
	body      any    // nil: none
	location  string // header Location
	allow     string // header Allow
	challenge bool   // ask for a user and a password
}

func okReply(body any) apiReply { return apiReply{status: http.StatusOK, body: body} }

func noContent() apiReply { return apiReply{status: http.StatusNoContent} }

// createdReply is the answer to PUT: 201 of what is new, else 204.
func createdReply(isNew bool) apiReply {
	if isNew {
		return apiReply{status: http.StatusCreated}
	}
	return noContent()
}

func apiError(status int, name string, reason any) apiReply {
	return apiReply{status: status, body: object{"error": name, "reason": reason}}
}

func badRequest(reason any) apiReply { return apiError(http.StatusBadRequest, "bad_request", reason) }

func notFoundReply() apiReply {
	return apiError(http.StatusNotFound, "Object Not Found", "Not Found")
}

// unsupported refuses what RabbitMQ can do and this broker cannot.
func unsupported(what string) apiReply {
	return apiError(http.StatusNotImplemented, "not_implemented", "amqptest has no "+what)
}

// keysMissing is the answer to a body without keys that it needs; nil: all are there.
func keysMissing(body object, keys ...string) *apiReply {
	var missing []string
	for _, key := range keys {
		if _, there := body[key]; !there {
			missing = append(missing, "{key_missing,"+key+"}")
		}
	}
	if len(missing) == 0 {
		return nil
	}
	// As Erlang prints a list: one line if it fits into 80 columns.
	text := "[" + strings.Join(missing, ",") + "]"
	if len(text) >= 79 {
		text = "[" + strings.Join(missing, ",\n ") + "]"
	}
	reply := badRequest(text)
	return &reply
}

func (a apiReply) write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Vary", "accept, accept-encoding, origin")
	if a.allow != "" {
		h.Set("Allow", a.allow)
	}
	if a.location != "" {
		h.Set("Location", a.location)
	}
	if a.challenge {
		h.Set("WWW-Authenticate", `Basic realm="RabbitMQ Management"`)
	}
	if a.body == nil {
		if a.status != http.StatusNoContent {
			h.Set("Content-Length", "0")
		}
		w.WriteHeader(a.status)
		return
	}
	body, err := json.Marshal(a.body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client has gone
	}
}
