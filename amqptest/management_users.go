package amqptest

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

func userRoutes() []apiRoute {
	return []apiRoute{
		{"users", admins, onGet((*apiCall).listUsers)},
		{"users/bulk-delete", admins, onPost((*apiCall).deleteUsers)},
		{"users/without-permissions", admins, onGet((*apiCall).usersWithoutPermissions)},
		{"users/{user}", admins, onGet((*apiCall).showUser).and(http.MethodPut, (*apiCall).putUser).and(http.MethodDelete, (*apiCall).deleteUser)},
		{"users/{user}/permissions", admins, onGet((*apiCall).userPermissions)},
		{"users/{user}/topic-permissions", admins, onGet((*apiCall).none)},
		{"auth/hash_password/{password}", admins, onGet((*apiCall).hashPassword)},
		{"permissions", admins, onGet((*apiCall).listPermissions)},
		{"permissions/{vhost}/{user}", admins, onGet((*apiCall).showPermission).and(http.MethodPut, (*apiCall).putPermission).
			and(http.MethodDelete, (*apiCall).deletePermission)},
		{"topic-permissions", admins, onGet((*apiCall).none)},
	}
}

// knownUser is whether the path's user is there.
func (c *apiCall) knownUser() bool {
	_, known := c.b.cfg.Users[c.words["user"]]
	return known
}

func (c *apiCall) listUsers() apiReply {
	return c.list(c.usersWhere(func(string) bool { return true }))
}

func (c *apiCall) usersWithoutPermissions() apiReply {
	return c.list(c.usersWhere(func(name string) bool {
		byVHost, limited := c.b.grants[name]
		return limited && len(byVHost) == 0
	}))
}

func (c *apiCall) usersWhere(where func(name string) bool) []object {
	var all []object
	for _, name := range slices.Sorted(maps.Keys(c.b.cfg.Users)) {
		if where(name) {
			all = append(all, userJSON(name, c.b.cfg.Users[name]))
		}
	}
	return all
}

func userJSON(name string, u User) object {
	h := u.hash
	if h == nil {
		h = hashOf(name, u.Password)
	}
	return object{
		"name": name, "tags": tagsOrNone(u.Tags), "limits": object{}, "password_hash": h.String(), "hashing_algorithm": h.algorithm,
	}
}

func (c *apiCall) showUser() apiReply {
	if !c.knownUser() {
		return notFoundReply()
	}
	return c.one(userJSON(c.words["user"], c.b.cfg.Users[c.words["user"]]))
}

func (c *apiCall) hashPassword() apiReply {
	return okReply(object{"ok": hashOf(c.words["password"], c.words["password"]).String()})
}

func (c *apiCall) putUser() apiReply {
	body, refused := c.decode()
	if refused != nil {
		return *refused
	}
	isNew := !c.knownUser()
	if refused := c.b.putUser(c.words["user"], body); refused != nil {
		return *refused
	}
	return createdReply(isNew)
}

// putUser makes a user, or changes one. A new one has no permissions.
func (b *Broker) putUser(name string, body object) *apiReply {
	fail := func(reason any) *apiReply {
		reply := badRequest(reason)
		return &reply
	}
	tags, there := body["tags"]
	if !there {
		return fail("tags_not_present")
	}
	u, known := b.cfg.Users[name]
	u.Tags = tagsOf(tags)
	password, hasPassword := body["password"].(string)
	text, hasHash := body["password_hash"].(string)
	switch {
	case hasPassword && hasHash:
		return fail("both_password_and_password_hash_are_provided")
	case hasHash && text != "":
		h, err := parseHash(cmp.Or(stringOf(body["hashing_algorithm"]), hashSHA256), text)
		if err != nil {
			return fail("password_hash has invalid value. The value must be Base64-encoded")
		}
		u.Password, u.hash = "", h
	default:
		u.Password, u.hash = password, nil // none: the user cannot log in with one
	}
	users := maps.Clone(b.cfg.Users) // those of Config are the caller's
	users[name] = u
	b.cfg.Users = users
	if !known {
		b.grants[name] = make(map[string]*grants)
	}
	return nil
}

// tagsOf reads tags: a list of texts, or one text with commas between.
func tagsOf(v any) []string {
	var tags []string
	switch v := v.(type) {
	case string:
		for _, tag := range strings.Split(v, ",") {
			if tag = strings.TrimSpace(tag); tag != "" {
				tags = append(tags, tag)
			}
		}
	case []any:
		for _, tag := range v {
			if s := stringOf(tag); s != "" {
				tags = append(tags, s)
			}
		}
	}
	return tagsOrNone(tags)
}

func (c *apiCall) deleteUser() apiReply {
	if !c.knownUser() {
		return notFoundReply()
	}
	c.b.deleteUser(c.words["user"])
	return noContent()
}

// deleteUser removes a user and closes its connections.
func (b *Broker) deleteUser(name string) {
	users := maps.Clone(b.cfg.Users)
	delete(users, name)
	b.cfg.Users = users
	delete(b.grants, name)
	for _, conn := range b.connsInOrder() {
		if conn.user == name {
			conn.forceClose("user '" + name + "' is deleted")
		}
	}
}

func (c *apiCall) deleteUsers() apiReply {
	body, refused := c.decode()
	if refused != nil {
		return *refused
	}
	if refused := keysMissing(body, "users"); refused != nil {
		return *refused
	}
	names, _ := body["users"].([]any)
	for _, name := range names {
		if _, known := c.b.cfg.Users[stringOf(name)]; known {
			c.b.deleteUser(stringOf(name))
		}
	}
	return noContent()
}

// permissionsWhere lists permissions. A user without limits has all in every
// virtual host.
func (b *Broker) permissionsWhere(where func(user, vhost string) bool) []object {
	all := []object{}
	for _, name := range slices.Sorted(maps.Keys(b.cfg.Users)) {
		for _, vh := range b.vhostsInOrder() {
			g, allowed := b.grantsOf(name, vh.name)
			if allowed && where(name, vh.name) {
				p := g.expressions()
				all = append(all, object{"user": name, "vhost": vh.name, "configure": p.Configure, "write": p.Write, "read": p.Read})
			}
		}
	}
	return all
}

func (c *apiCall) listPermissions() apiReply {
	return c.list(c.b.permissionsWhere(func(string, string) bool { return true }))
}

func (c *apiCall) userPermissions() apiReply {
	if !c.knownUser() {
		return notFoundReply()
	}
	return c.list(c.b.permissionsWhere(func(user, _ string) bool { return user == c.words["user"] }))
}

func (c *apiCall) vhostPermissions() apiReply {
	vh := c.vhost()
	if vh == nil {
		return notFoundReply()
	}
	return c.list(c.b.permissionsWhere(func(_, vhost string) bool { return vhost == vh.name }))
}

// permission is that of the path; nil: there is none.
func (c *apiCall) permission() object {
	all := c.b.permissionsWhere(func(user, vhost string) bool { return user == c.words["user"] && vhost == c.words["vhost"] })
	if len(all) == 0 {
		return nil
	}
	return all[0]
}

func (c *apiCall) showPermission() apiReply {
	p := c.permission()
	if p == nil {
		return notFoundReply()
	}
	return c.one(p)
}

func (c *apiCall) putPermission() apiReply {
	body, refused := c.decode()
	if refused != nil {
		return *refused
	}
	isNew := c.permission() == nil
	if refused := c.b.putPermission(c.words["user"], c.words["vhost"], body); refused != nil {
		return *refused
	}
	return createdReply(isNew)
}

func (b *Broker) putPermission(user, vhost string, body object) *apiReply {
	if refused := keysMissing(body, "configure", "write", "read"); refused != nil {
		return refused
	}
	_, known := b.cfg.Users[user]
	if !known || b.vhosts[vhost] == nil {
		reply := badRequest("vhost_or_user_not_found")
		return &reply
	}
	p := Permissions{Configure: stringOf(body["configure"]), Write: stringOf(body["write"]), Read: stringOf(body["read"])}
	for _, expression := range []string{p.Configure, p.Write, p.Read} {
		if _, err := regexp.Compile(expression); err != nil {
			reply := badRequest([]any{"invalid_regexp", expression, err.Error()})
			return &reply
		}
	}
	b.limit(user)
	b.grant(user, vhost, p)
	return nil
}

func (c *apiCall) deletePermission() apiReply {
	if c.permission() == nil {
		return notFoundReply()
	}
	c.b.limit(c.words["user"])
	delete(c.b.grants[c.words["user"]], c.words["vhost"])
	return noContent()
}

// limit gives a user without limits, instead, all rights in each virtual host
// that is there now.
func (b *Broker) limit(user string) {
	if _, limited := b.grants[user]; limited {
		return
	}
	b.grants[user] = make(map[string]*grants)
	for name := range b.vhosts {
		b.grant(user, name, Permissions{Configure: ".*", Write: ".*", Read: ".*"})
	}
}

// grant gives a user permissions whose expressions are known to be right.
func (b *Broker) grant(user, vhost string, p Permissions) {
	if g, err := p.compile(); err == nil {
		b.grants[user][vhost] = g
	}
}

// expressions are the permissions as they were set.
func (g *grants) expressions() Permissions {
	if g == nil {
		return Permissions{Configure: ".*", Write: ".*", Read: ".*"}
	}
	of := func(p permission) string {
		if g[p] == nil {
			return ""
		}
		return g[p].String()
	}
	return Permissions{Configure: of(configure), Write: of(write), Read: of(read)}
}

// noPolicyRoutes are those of things that RabbitMQ has, and this broker has
// none of.
func noPolicyRoutes() []apiRoute {
	var all []apiRoute
	list := onGet((*apiCall).none)
	for what, patterns := range map[string][]string{
		"policies":          {"policies", "policies/{vhost}", "policies/{vhost}/{name}"},
		"operator policies": {"operator-policies", "operator-policies/{vhost}", "operator-policies/{vhost}/{name}"},
		"parameters":        {"parameters", "parameters/{component}", "parameters/{component}/{vhost}", "parameters/{component}/{vhost}/{name}"},
		"limits":            {"vhost-limits", "vhost-limits/{vhost}", "vhost-limits/{vhost}/{name}", "user-limits", "user-limits/{user}", "user-limits/{user}/{name}"},
		"topic permissions": {"topic-permissions/{vhost}/{user}"},
	} {
		no := func(*apiCall) apiReply { return unsupported(what) }
		for _, pattern := range patterns {
			r := apiRoute{pattern, ofPolicies, list}
			if strings.HasSuffix(pattern, "{name}") || strings.HasPrefix(pattern, "topic") {
				absent := func(*apiCall) apiReply { return notFoundReply() }
				r.methods = apiMethods{http.MethodGet: absent, http.MethodPut: no, http.MethodDelete: absent}
			}
			all = append(all, r)
		}
	}
	return append(all, apiRoute{"global-parameters", ofPolicies, onGet((*apiCall).globalParameters)})
}

func (c *apiCall) globalParameters() apiReply {
	return c.list(c.b.globalParameters())
}

func (b *Broker) globalParameters() []object {
	all := []object{}
	if b.cfg.Version.atLeast40() {
		all = append(all, object{"name": "cluster_tags", "value": []any{}})
	}
	return append(all, object{"name": "internal_cluster_id", "value": "rabbitmq-cluster-id-amqptest"})
}

// jsonText is a value as one line of JSON, for texts.
func jsonText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}
