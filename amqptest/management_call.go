package amqptest

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
)

// apiCall is a request to the management API.
type apiCall struct {
	b     *Broker
	r     *http.Request
	route *apiRoute
	words map[string]string // of the path
	user  string
	tags  []string
	body  []byte
}

// maxAPIBody is the largest body of a request, in bytes, as RabbitMQ's
// management.http.max_body_size.
const maxAPIBody = 20_000_000

// serveManagement answers a request to the management API.
func (b *Broker) serveManagement(w http.ResponseWriter, r *http.Request) {
	if r.Body == nil { // a request that no server made
		r.Body = http.NoBody
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAPIBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		apiError(http.StatusRequestEntityTooLarge, "payload_too_large", "the request's body is larger than 20 MB").write(w, r)
		return
	case err != nil:
		return // the client has gone
	}
	c := &apiCall{b: b, r: r, body: body}
	b.lock()
	reply := c.serve()
	b.unlock()
	reply.write(w, r)
}

// serve checks a request in RabbitMQ's order, then does it.
func (c *apiCall) serve() apiReply {
	if c.b.closed {
		return apiError(http.StatusServiceUnavailable, "service_unavailable", "the broker is closed")
	}
	path, ok := splitPath(c.r.URL)
	if !ok {
		return notFoundReply()
	}
	c.b.mgmt.rates.watch(c.b)
	c.route, c.words = c.b.cfg.Version.match(path)
	if c.route == nil {
		return notFoundReply()
	}
	method := c.r.Method
	switch method {
	case http.MethodOptions:
		return apiReply{status: http.StatusOK, allow: c.route.methods.allowed()}
	case http.MethodHead:
		method = http.MethodGet
	}
	handler := c.route.methods[method]
	if handler == nil {
		return apiReply{status: http.StatusMethodNotAllowed, allow: c.route.methods.allowed()}
	}
	if refused := c.authorize(); refused != nil {
		return *refused
	}
	return handler(c)
}

// authorize logs the user in, and checks that the path is for such.
func (c *apiCall) authorize() *apiReply {
	name, password, ok := c.r.BasicAuth()
	if !ok {
		return &apiReply{status: http.StatusUnauthorized, challenge: true}
	}
	u, known := c.b.cfg.Users[name]
	if !known || !u.accepts(password) {
		reason := "Not_Authorized"
		if !c.b.cfg.Version.atLeast40() {
			reason = "Login failed"
		}
		refused := apiError(http.StatusUnauthorized, "not_authorized", reason)
		refused.challenge = !c.b.cfg.Version.atLeast40()
		return &refused
	}
	c.user, c.tags = name, u.Tags
	if !c.hasTag("administrator", "monitoring", "policymaker", "management") {
		return notAuthorised("Not management user")
	}
	return c.permit()
}

func (c *apiCall) permit() *apiReply {
	switch c.route.access {
	case admins:
		if !c.hasTag("administrator") {
			return notAuthorised("Not administrator user")
		}
	case monitors:
		if !c.isMonitor() {
			return notAuthorised("Not monitor user")
		}
	case ofPolicies:
		if !c.hasTag("administrator", "policymaker") && c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
			return notAuthorised("User not authorised to access object")
		}
		return c.permitVHost()
	case ofVHost:
		return c.permitVHost()
	}
	return nil
}

// permitVHost refuses who cannot log in to the virtual host of the path.
func (c *apiCall) permitVHost() *apiReply {
	name, named := c.words["vhost"]
	if !named || c.b.vhosts[name] == nil || c.mayLogin(name) {
		return nil
	}
	if c.b.cfg.Version.atLeast43() {
		reply := apiError(http.StatusNotFound, "not_found", "Not Found")
		return &reply
	}
	return notAuthorised("User not authorised to access virtual host")
}

func notAuthorised(reason string) *apiReply {
	reply := apiError(http.StatusUnauthorized, "not_authorised", reason)
	return &reply
}

func (c *apiCall) mayLogin(vhost string) bool {
	_, ok := c.b.grantsOf(c.user, vhost)
	return ok
}

func (c *apiCall) hasTag(tags ...string) bool {
	return slices.ContainsFunc(c.tags, func(tag string) bool { return slices.Contains(tags, tag) })
}

func (c *apiCall) isMonitor() bool { return c.hasTag("administrator", "monitoring") }

// vhost is that of the path; nil: there is none of that name.
func (c *apiCall) vhost() *vhost { return c.b.vhosts[c.words["vhost"]] }

// vhosts are that of the path, or all that the user can log in to. false: the
// path names one that is not there.
func (c *apiCall) vhosts() ([]*vhost, bool) {
	if _, named := c.words["vhost"]; named {
		vh := c.vhost()
		return []*vhost{vh}, vh != nil
	}
	all := c.b.vhostsInOrder()
	return slices.DeleteFunc(all, func(vh *vhost) bool { return !c.mayLogin(vh.name) }), true
}

// accepts says whether a password is the user's.
func (u User) accepts(password string) bool {
	if password == "" {
		return false
	}
	if u.hash != nil {
		return u.hash.accepts(password)
	}
	return u.Password != "" && subtle.ConstantTimeCompare([]byte(u.Password), []byte(password)) == 1
}

// decode reads the body, a JSON object; no body is an empty one.
func (c *apiCall) decode() (map[string]any, *apiReply) {
	object := make(map[string]any)
	if len(c.body) == 0 {
		return object, nil
	}
	if err := decodeJSON(c.body, &object); err != nil {
		reply := badRequest("not_json")
		return nil, &reply
	}
	return object, nil
}

// decodeJSON keeps integers apart from other numbers.
func decodeJSON(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

// query is a parameter of the URL.
func (c *apiCall) query(name string) string { return c.r.URL.Query().Get(name) }
