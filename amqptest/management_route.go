package amqptest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// access is who may use a path.
type access uint8

const (
	anyone     access = iota // who may use the management API at all
	ofVHost                  // and the virtual host that the path names
	ofPolicies               // policymakers and administrators, of that virtual host
	monitors                 // monitoring and administrator
	admins                   // administrator
)

// apiHandler answers a request. It runs under Broker.mu.
type apiHandler func(*apiCall) apiReply

// apiRoute is one path of the API. Words in braces stand for any.
type apiRoute struct {
	pattern string
	access  access
	methods apiMethods
}

type apiMethods map[string]apiHandler

func onGet(h apiHandler) apiMethods { return apiMethods{http.MethodGet: h} }

func onPost(h apiHandler) apiMethods { return apiMethods{http.MethodPost: h} }

// and adds a method.
func (m apiMethods) and(method string, h apiHandler) apiMethods {
	m[method] = h
	return m
}

// allowed is the header Allow, in RabbitMQ's order.
func (m apiMethods) allowed() string {
	var all []string
	for _, name := range []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete} {
		if m[name] == nil {
			continue
		}
		if name == http.MethodGet {
			all = append(all, http.MethodHead)
		}
		all = append(all, name)
	}
	return strings.Join(append(all, http.MethodOptions), ", ")
}

// apiRoutes are all paths; of two that fit, the first counts.
func apiRoutes() []apiRoute {
	return slices.Concat(
		nodeRoutes(), vhostRoutes(), queueRoutes(), exchangeRoutes(), bindingRoutes(), connectionRoutes(),
		userRoutes(), definitionRoutes(), healthRoutes(), noPolicyRoutes(),
	)
}

var allAPIRoutes = apiRoutes()

// match finds the route of a path that was split, and what stands for the
// words in braces.
func (v Version) match(path []string) (*apiRoute, map[string]string) {
	for i := range allAPIRoutes {
		r := &allAPIRoutes[i]
		if words, ok := matchPath(r.pattern, path); ok && v.hasPath(r.pattern) {
			return r, words
		}
	}
	return nil, nil
}

// hasPath: some paths came, or went, with a release.
func (v Version) hasPath(pattern string) bool {
	switch pattern {
	case "health/checks/node-is-mirror-sync-critical":
		return !v.atLeast40()
	case "health/checks/ready-to-serve-clients", "health/checks/is-in-service":
		return v.atLeast43()
	case "queues/detailed", "deprecated-features":
		return v.atLeast40()
	case "auth":
		return !v.atLeast43()
	}
	return true
}

func matchPath(pattern string, path []string) (map[string]string, bool) {
	parts := strings.Split(pattern, "/")
	if len(parts) != len(path) {
		return nil, false
	}
	words := make(map[string]string)
	for i, part := range parts {
		switch {
		case strings.HasPrefix(part, "{"):
			words[strings.Trim(part, "{}")] = path[i]
		case part != path[i]:
			return nil, false
		}
	}
	return words, true
}

// splitPath splits what follows /api/ into its parts, each unescaped.
func splitPath(u *url.URL) ([]string, bool) {
	rest, ok := strings.CutPrefix(u.EscapedPath(), "/api/")
	if !ok {
		return nil, false
	}
	parts := strings.Split(strings.TrimSuffix(rest, "/"), "/")
	for i := range parts {
		part, err := url.PathUnescape(parts[i])
		if err != nil {
			return nil, false
		}
		parts[i] = part
	}
	return parts, true
}
