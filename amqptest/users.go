package amqptest

import (
	"fmt"
	"regexp"
	"slices"
)

// permission is one of the three rights that a user may have on a queue or an
// exchange.
type permission uint8

const (
	configure permission = iota
	write
	read
)

func (p permission) String() string {
	return [...]string{"configure", "write", "read"}[p]
}

// grants are a user's permissions in one virtual host. A nil expression
// matches nothing.
type grants [3]*regexp.Regexp

func (g *grants) allow(p permission, name string) bool {
	return g[p] != nil && g[p].MatchString(name)
}

// compile reads the expressions of a user's permissions.
func (p Permissions) compile() (*grants, error) {
	var g grants
	for i, expression := range []string{p.Configure, p.Write, p.Read} {
		if expression == "" {
			continue
		}
		re, err := regexp.Compile(expression)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", permission(i), err)
		}
		g[i] = re
	}
	return &g, nil
}

// compileGrants reads the permissions of all users, by user and virtual host.
func (c Config) compileGrants() (map[string]map[string]*grants, error) {
	all := make(map[string]map[string]*grants)
	for name, u := range c.Users {
		if u.Permissions == nil {
			continue
		}
		all[name] = make(map[string]*grants)
		for vhost, p := range u.Permissions {
			g, err := p.compile()
			if err != nil {
				return nil, fmt.Errorf("amqptest: Config.Users[%q].Permissions[%q]: %w: give a regular expression", name, vhost, err)
			}
			all[name][vhost] = g
		}
	}
	return all, nil
}

// grantsOf are the user's permissions in a virtual host; nil: every right.
// false: the user has no access to it.
func (b *Broker) grantsOf(user, vhost string) (*grants, bool) {
	byVHost, limited := b.grants[user]
	if !limited {
		return nil, true
	}
	g, ok := byVHost[vhost]
	return g, ok
}

// allowed is a right that a channel was found to have.
type allowed struct {
	want       permission
	kind, name string
}

// allowedMost is how many of these a channel keeps.
const allowedMost = 12

// may refuses what the user has no right to, now or when this channel last
// asked: RabbitMQ's channels keep the answers, so a right that is taken away
// goes on for what was just used.
func (ch *channel) may(want permission, kind, name string) *amqpError {
	right := allowed{want, kind, name}
	if slices.Contains(ch.allowed, right) {
		return nil
	}
	if err := ch.conn.may(want, kind, name); err != nil {
		return err
	}
	if len(ch.allowed) == allowedMost {
		ch.allowed = append(ch.allowed[:0], ch.allowed[1:]...)
	}
	ch.allowed = append(ch.allowed, right)
	return nil
}

// may refuses what the connection's user has no right to. kind is queue or
// exchange.
func (c *conn) may(want permission, kind, name string) *amqpError {
	g, access := c.broker.grantsOf(c.user, c.vhost.name)
	if c.trusted || access && g == nil {
		return nil
	}
	if kind == "exchange" && name == "" {
		name = "amq.default"
	}
	if access && g.allow(want, name) {
		return nil
	}
	if !c.broker.cfg.Version.atLeast40() {
		return softError(codeAccessRefused, "access to %s '%s' in vhost '%s' refused for user '%s'", kind, name, c.vhost.name, c.user)
	}
	return softError(codeAccessRefused, "%s access to %s '%s' in vhost '%s' refused for user '%s'", want, kind, name, c.vhost.name, c.user)
}

// impersonates tells whether the user may set another's name as user-id.
func (c *conn) impersonates() bool { return slices.Contains(c.tags, "impersonator") }
